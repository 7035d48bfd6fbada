//! The commands: each reads its arguments, calls a service or the store, and writes the answer.

// What needs no running service.
/// Measures how fast this machine trains.
pub(crate) mod calibrate;
/// Walks the whole path on one data set, with services of its own.
pub(crate) mod demo;
/// Runs coordinator, worker and scorer until a signal.
pub(crate) mod up;

// From data to a model version.
/// Imports, lists, shows and deletes data sets.
pub(crate) mod dataset;
/// Lists, shows, labels and deletes model versions.
pub(crate) mod models;
/// Imports a path, trains on it and writes a report: `train submit --data`.
mod study;
/// Submits, watches, lists, shows and cancels jobs.
pub(crate) mod train;

// What a scorer answers.
/// Records, shows and deletes histories.
pub(crate) mod history;
/// Ranks items for a user.
pub(crate) mod recommend;
/// Shows what a scorer serves.
pub(crate) mod status;
