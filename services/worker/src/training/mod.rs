//! The work itself: from fresh rows to the best tables.

/// A job's state on disk.
mod checkpoint;
/// What an epoch reads.
mod context;
/// What a step of finetuning asks for.
mod finetuning;
/// What training changes: tables and moments.
mod learned;
/// The state of a job between two epochs: what it starts from, and what is best
/// so far.
mod run;
/// One epoch of each stage.
mod stages;
/// The first rows of the tables.
mod start;
/// ★ All stages of a job in order.
pub(crate) mod train;
/// One epoch of the backbone's own warm-up.
mod warmup;
