//! A harness that starts the real binaries and a real Redis on free ports, each
//! cluster with a folder of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a harness for tests: what cannot start must fail loudly"
)]

// What a test starts.
/// Starts coordinator, workers and scorers as separate processes.
mod cluster;
/// Starts all services in one process, as a newcomer does.
mod newcomer;

// What a test asks.
/// Makes requests and reads answers in few words.
mod asking;
/// Asks over HTTP what is asked over gRPC, and compares.
mod both_ways;
/// Asks a cluster over gRPC.
mod calls;
/// Workers that hold leases and train nothing.
mod fake_worker;
/// Speaks HTTP with JSON.
mod http;
/// Measures what many jobs cost a coordinator.
mod queue_load;

// What is done to a cluster.
/// Inflicts faults of every kind, and checks what is promised.
mod chaos;

// What a test works with.
/// Damages files as a bad disk would.
mod damage;
/// Writes a small data set and names jobs on it.
mod data;
/// Serves files over HTTP, as hubs and package indices do.
mod files;
/// Writes a GGUF file of a tiny Llama.
mod gguf;
/// Sums up what several tries took.
mod timing;

// What clusters are made of.
/// Connects to services on this machine.
mod connection;
/// Gives a cluster's processes their settings.
mod environment;
/// Starts processes that die with the test, and waits for things to happen.
mod process;
/// Starts a Redis of the test's own.
mod redis;

pub use asking::{
    PATIENT, bad_fields, ids, inline, interaction, kinds, new_history, request,
    within,
};
pub use both_ways::BothWays;
pub use chaos::{Plan, run as run_chaos};
pub use cluster::{Cluster, Options};
pub use damage::{cut_the_end_off, entries, flip_a_bit, largest_file};
pub use data::{CHECKPOINTED_JOB, SLOW_JOB, TINY_JOB, write_two_groups};
pub use fake_worker::FakeWorker;
pub use files::{Answer, serve_files};
pub use gguf::tiny_gguf;
pub use http::{HttpAnswer, http};
pub use newcomer::Newcomer;
pub use process::{Process, binary, eventually, free_port};
pub use queue_load::{Figures, Sizes, measure_queue};
pub use redis::Redis;
pub use timing::median;
