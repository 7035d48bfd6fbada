//! The wire: generated messages and services, and the conversions between them
//! and the domain.
//!
//! A request becomes a domain value in `convert`, and is checked on the way;
//! past that nothing sees `pb`.

/// Which roles may call which method.
mod access;
/// Conversions between the wire and the domain, with all checks.
mod convert;
/// Refusals as gRPC statuses with details.
mod error;

/// Holds what is generated from `cllm4rec/v1/*.proto`.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    missing_docs,
    reason = "generated code"
)]
pub mod pb {
    tonic::include_proto!("cllm4rec.v1");
}

pub use access::{ACCESS, PUBLISH};
pub use convert::{
    Asked, Pages, UsersAsked, attributes, catalog, dataset_id, fields_model,
    job_id, job_name, milliseconds, priority, recorded, state, timestamp,
    version_id, version_name, worker_labels,
};
pub use error::{invalid_argument, overloaded, retry_delay};

/// The file descriptors of all services, for reflection.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
