//! A harness that starts the real binaries and a real Redis on free ports, each cluster with a folder of its own.
#![allow(clippy::unwrap_used, reason = "a harness for tests: what cannot start must fail loudly")]

mod cluster;
mod data;
mod process;
mod redis;

pub use cluster::{Cluster, Options};
pub use data::{SLOW_JOB, TINY_JOB, new_history, write_two_groups};
pub use process::{Process, binary, eventually, free_port};
pub use redis::Redis;

use tonic_types::StatusExt;

/// The fields that a refused call named.
pub fn bad_fields(status: &tonic::Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|request| request.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}
