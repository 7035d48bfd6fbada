//! The work itself: from fresh rows to the best tables.

/// ★ All stages of a job in order.
pub(crate) mod train;

/// What one fit reads: the training split, or everything.
pub(crate) mod fit;

/// The version that a job starts from.
pub(crate) mod earlier;

/// A job's state between epochs: its start and the best so far.
mod run;

/// The first rows of the tables.
pub(crate) mod start;

/// One epoch of each stage.
mod stages;

/// What an epoch reads.
mod context;

/// What a step of finetuning asks for.
mod finetuning;

/// One epoch of the backbone's own warm-up.
mod warmup;

/// What training changes: tables and moments.
mod learned;

/// A job's state on disk.
mod checkpoint;
