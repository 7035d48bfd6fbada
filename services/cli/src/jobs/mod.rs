//! Training jobs, from the command line's side.

/// The connection to the coordinator.
pub(crate) mod client;

/// Named sets of fields that a job starts from.
pub(crate) mod preset;
/// When and where a job is to run, as it is typed.
pub(crate) mod schedule;
/// A specification as a TOML table: read, merged, changed and checked.
pub(crate) mod spec;
/// `--from`: the version that a job starts from.
pub(crate) mod start;
/// The arguments of `train submit`, and the specification that they make.
pub(crate) mod submission;

/// Jobs of commands that were killed.
pub(crate) mod unfinished;

/// Follows a job's events until it ends.
pub(crate) mod follow;
/// How often a broken stream of events is opened again.
pub(crate) mod reconnects;
/// Shows the events: a bar, lines or JSON.
mod view;

/// The exit code that a job's end gives.
pub(crate) mod exit;
