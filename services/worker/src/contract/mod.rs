//! What passes between a job and its training.

/// What a training works from, and what it leaves.
pub(crate) mod input;
/// Asks a training to save what it has and to stop.
pub(crate) mod leave;
/// The order of a job's epochs.
pub(crate) mod plan;
/// What the training thread tells the world, and how the world stops it.
pub(crate) mod progress;
