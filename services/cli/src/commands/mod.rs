//! The commands: each reads its arguments, calls a service or the store, and
//! writes the answer.

// With services of its own.

/// Runs coordinator, worker and scorer until a signal.
pub(crate) mod up;

/// Walks the whole path on one data set.
pub(crate) mod demo;

// From data to a model version.

/// Adds, lists, shows and removes backbones.
pub(crate) mod backbone;
/// Measures how fast this machine trains.
pub(crate) mod calibrate;
/// Imports, lists, shows and deletes data sets.
pub(crate) mod dataset;

/// Submits, watches, lists, shows and cancels jobs.
pub(crate) mod train;

/// Imports a path, trains on it and writes a report: `train submit --data`.
mod study;

/// Jobs for TensorBoard and MLflow: `train export`.
mod export;

/// A job for each combination of values: `train tune`.
mod tune;

/// Model versions side by side: `models compare`.
mod compare;
/// Removes what nothing needs any more.
pub(crate) mod gc;
/// Lists, shows, labels and deletes model versions.
pub(crate) mod models;

// What a scorer does.

/// Ranks items for everybody: `recommend --all`.
mod everybody;
/// Records, shows and deletes histories.
pub(crate) mod history;
/// Describes the paths of HTTP.
pub(crate) mod openapi;
/// Ranks items for a user.
pub(crate) mod recommend;
/// Scores items for a user.
pub(crate) mod score;
/// Lists what is like an item.
pub(crate) mod similar;
/// Shows what a scorer serves.
pub(crate) mod status;
