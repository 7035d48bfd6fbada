//! The worker: turns a `TrainSpec` into an artifact.

mod baselines;
mod checkpoint;
mod corpus;
mod error;
mod evaluate;
mod plan;
mod progress;
mod stages;
pub mod train;

pub use error::Error;
pub use progress::{Progress, Watch};
