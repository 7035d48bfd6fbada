//! `pb` ⇄ domain. Names on the wire are resource names (`jobs/{job}`); inside
//! they are ids.

// Training: what a job is to do, how it goes, what comes out.
/// How fast a worker's machine is.
mod calibration;
/// What a data set holds.
mod counts;
/// Jobs, their progress and their ends.
mod job;
/// Model versions as the registry shows them.
mod model;
/// When and where a job is to run.
mod schedule;
/// The language models on a worker's disk.
mod seen;
/// What a job is to do.
mod spec;

// Serving: what is asked and answered.
/// Answers to `Recommend` and its relatives.
mod answer;
/// What is known of an item beside title and categories.
mod attributes;
/// Interactions that are recorded or shown.
mod history;
/// The tokens with which a list goes on.
mod page_token;
/// `Recommend` and its relatives.
mod query;

/// What is said of a number that is no value of an enum.
mod enums;
/// Names and times, as the other conversions need them.
mod name;

pub use attributes::attributes;
pub use history::{UsersAsked, recorded};
pub use job::state;
pub use name::{
    catalog, dataset_id, job_id, job_name, milliseconds, timestamp, version_id,
    version_name,
};
pub use page_token::Pages;
pub use query::{Asked, fields_model, priority};
pub use schedule::worker_labels;
