//! `cllm4rec-load`: asks a scorer at a given rate and says how it answered.
//!
//! Open loop: a slow answer does not slow the asking down, and a request's latency counts from the
//! time at which it should have been sent. [`workload`] says what is asked, [`client`] whom,
//! [`point`] sends and measures.
#![allow(clippy::print_stdout, reason = "a command line tool")]

mod client;
mod point;
mod workload;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use service::client::{Target, connect};
use tokio::task::JoinSet;

use crate::client::{Client, Stub};
use crate::workload::{Requests, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks for recommendations at given rates, one after the other; prints a JSON line for each.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The scorer; several with commas between take turns.
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:7070")]
    url: Vec<String>,
    /// Its token.
    #[arg(
        long,
        default_value = "",
        env = "CLLM4REC__SCORER__TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// Folder of an imported data set: its users and items.
    #[arg(long)]
    dataset: PathBuf,
    /// What is asked (TOML); the fields are in services/load/src/workload.rs.
    #[arg(long)]
    workload: Option<PathBuf>,
    /// Of all random choices, over the workload's: other histories where they are drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// Requests a second, with commas between.
    #[arg(long, value_delimiter = ',', required = true)]
    rate: Vec<f64>,
    /// Length of a point.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Before a point, at the same rate, not counted.
    #[arg(long, default_value_t = 5.0)]
    warm_up: f64,
    /// HTTP/2 connections to each scorer.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// First ask once for every user, so that their states are known.
    #[arg(long)]
    warm_users: bool,
    /// Send half as much again as is accepted, where a scorer refuses: what a client should do.
    #[arg(long)]
    throttle: bool,
}

// One thread: on cores that the scorer shares, waking others for each call cost a quarter more
// (3,000 and 424 calls/s).
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // In a task: a timer wakes the runtime's first future through the kernel.
    let mut running = JoinSet::new();
    running.spawn(run(Arguments::parse()));
    running.join_next().await.context("it was started")??
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    service::install_tls_provider();
    let mut workload = Workload::read(arguments.workload.as_deref())?;
    workload.seed = arguments.seed.unwrap_or(workload.seed);
    let mut requests = Requests::new(workload, &arguments.dataset)?;
    let mut clients = Vec::new();
    // Neighbours are of different scorers.
    for _ in 0..arguments.connections.max(1) {
        for url in &arguments.url {
            let target = Target {
                url: url.clone(),
                token: arguments.token.clone(),
                ca: None,
            };
            clients.push(Client::new(
                Stub::new(connect(&target)?),
                arguments.throttle,
            ));
        }
    }
    if arguments.warm_users {
        for (number, request) in requests.each_user().enumerate() {
            let place = number % clients.len();
            clients[place].stub.recommend(request).await?;
        }
    }
    for &rate in &arguments.rate {
        let report = point::measure(
            &clients,
            &mut requests,
            rate,
            (arguments.warm_up, arguments.seconds),
        )
        .await?;
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}
