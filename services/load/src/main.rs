//! `cllm4rec-load`: asks a scorer at a given rate and says how it answered.
//!
//! Open loop: a slow answer does not slow the asking down, and a request's
//! latency counts from the time at which it should have been sent.
#![allow(clippy::print_stdout, reason = "a command line tool")]

/// The workload file: kinds of requests, and how often each is made.
mod workload;

/// The requests of a workload, in an order that its seed says.
mod requests;

/// A connection to a scorer, throttled where that is wanted.
mod client;
/// One request from its sending to its answer.
mod flight;
/// What is spoken to a scorer: gRPC, or HTTP with JSON.
mod stub;

/// Adds up what became of a point's requests.
mod collect;
/// One point: sends at a rate and measures.
mod point;
/// The line that a point comes to.
mod report;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::{Target, connect};
use tokio::task::JoinSet;
use tonic::Request;

use crate::client::Client;
use crate::point::Point;
use crate::requests::Requests;
use crate::stub::Stub;
use crate::workload::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks for recommendations at given rates, one after the other; prints a JSON
/// line for each.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The scorer; several with commas between take turns.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7070"
    )]
    url: Vec<String>,

    /// The token that the scorer wants.
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

    /// Seed of all random choices, over the workload's: other histories where
    /// they are drawn.
    #[arg(long)]
    seed: Option<u64>,

    /// Requests a second, with commas between.
    #[arg(long, value_delimiter = ',', required = true)]
    rate: Vec<f64>,

    /// Seconds that a point lasts.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,

    /// Seconds before a point at the same rate, not counted.
    #[arg(long, default_value_t = 5.0)]
    warm_up: f64,

    /// HTTP/2 connections to each scorer.
    #[arg(long, default_value_t = 2)]
    connections: usize,

    /// First ask once for every user, so that their states are known.
    #[arg(long)]
    warm_users: bool,

    /// Ask over HTTP with JSON instead of gRPC.
    #[arg(long)]
    json: bool,

    /// Send half as much again as is accepted, where a scorer refuses: what a
    /// client should do.
    #[arg(long)]
    throttle: bool,
}

// One thread: on cores that the scorer shares, waking others for each call cost
// a quarter more (3,000 and 424 calls/s).
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
    let mut clients = clients(&arguments)?;

    if arguments.warm_users {
        for (number, request) in requests.each_user().enumerate() {
            let place = number % clients.len();
            let request = Request::new(request);
            clients[place].stub.recommend(request).await?;
        }
    }

    for &rate in &arguments.rate {
        let point = Point {
            rate,
            warm_up: arguments.warm_up,
            seconds: arguments.seconds,
        };
        let report = point.measure(&clients, &mut requests).await?;
        println!("{}", serde_json::to_string(&report)?);
    }

    Ok(())
}

/// All connections; neighbours are of different scorers.
fn clients(arguments: &Arguments) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..arguments.connections.max(1) {
        for url in &arguments.url {
            let target = Target {
                url: url.clone(),
                token: arguments.token.clone(),
                ca: None,
            };
            let connection = connect(&target)?;
            let stub = if arguments.json {
                Stub::Json(connection)
            } else {
                Stub::Grpc(RecommendationServiceClient::new(connection))
            };
            clients.push(Client::new(stub, arguments.throttle));
        }
    }

    Ok(clients)
}
