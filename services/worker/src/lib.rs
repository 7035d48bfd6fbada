//! The worker: turns a `TrainSpec` into an artifact.
//!
//! A worker asks the coordinator for a job ([`Worker`]), trains on a thread of
//! its own ([`train`]) and hands over what came out. The modules are in the
//! order of that flow; each may use the ones after it.

/// How a worker is set up.
mod settings;

/// The conversation with the coordinator: takes a job, keeps its lease alive,
/// commits the result.
mod job;

/// ★ The work itself: all stages, from first rows to model files.
mod training;

/// Ranks held-out items, chooses how the model is served, and measures it
/// beside the baselines.
mod evaluation;

/// What training reads: the backbone, the histories and the texts.
mod material;

/// The backbones on the worker's disk: how they come there, what they are.
mod backbones;

/// What passes between a job and its training: the input, the plan, the
/// progress, the result.
mod contract;

/// Measures how fast the machine trains, to estimate a job's time.
mod calibrate;

/// The worker's place for files in the making; what dead workers left there is
/// removed.
mod scratch;

/// The worker's own files and folders.
mod disk;

/// The memory that the worker may take.
mod memory;

/// Why an attempt at a job ends early.
mod error;

pub use backbones::add::{Added, Adding, add};
pub use backbones::download::Received;
pub use backbones::known::{KNOWN, KnownBackbone};
pub use backbones::shelf::{Description, Shelved, describe, list, remove};
pub use backbones::speed::{N_TEXTS, N_WORDS, Speed, speed};
pub use calibrate::calibrate;
pub use contract::input::{Backbones, EarlierVersion, Input, Trained};
pub use contract::leave::Leave;
pub use contract::progress::{Progress, Watch};
pub use error::Error;
pub use evaluation::compare::{ComparedVersion, Comparison, compare};
pub use job::worker::Worker;
pub use settings::{DEFAULTS, Settings};
pub use training::train::train;
