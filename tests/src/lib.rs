//! A harness that starts the real binaries and a real Redis on free ports, each cluster with a
//! folder of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a harness for tests: what cannot start must fail loudly"
)]

mod asking;
mod cluster;
mod data;
mod process;
mod redis;

pub use asking::{
    PATIENT, bad_fields, ids, inline, interaction, kinds, new_history, request, within,
};
pub use cluster::{Cluster, Options};
pub use data::{SLOW_JOB, TINY_JOB, write_two_groups};
pub use process::{Process, binary, eventually, free_port};
pub use redis::Redis;
