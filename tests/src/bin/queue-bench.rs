//! `make bench-queue`: what ten thousand jobs cost a coordinator and its Redis.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use e2e::{Cluster, Options, Sizes, measure_queue};

#[tokio::main]
async fn main() {
    let sizes = Sizes {
        n_jobs: 10_000,
        n_workers: 50,
        n_watchers: 200,
        seconds: 10,
    };
    // As a deployment has it; tests wait less for a lost worker.
    let term = Options::settings(&[("COORDINATOR__LEASE_TERM_S", "10")]);
    let mut cluster = Cluster::start_with(term.without_worker()).await;
    let dataset = cluster.import_two_groups();
    let figures = measure_queue(&mut cluster, &dataset, sizes).await;
    println!("{sizes:#?}\n{figures:#?}");
}
