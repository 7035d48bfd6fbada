//! The pages, in the order in which the navigation has them.

/// Two versions side by side.
pub(crate) mod compare;
/// The curves of several jobs over each other.
pub(crate) mod curves;
/// One data set.
pub(crate) mod dataset;
/// All data sets.
pub(crate) mod datasets;
/// The fields that a filter can ask for.
mod fields;
/// One item.
pub(crate) mod item;
/// One job.
pub(crate) mod job;
/// All jobs.
pub(crate) mod jobs;
/// What happens to a job, as it happens.
pub(crate) mod live;
/// In and out.
pub(crate) mod login;
/// All model versions, one of them, and its labels.
pub(crate) mod models;
/// How things are: what is live, what runs, what is wrong.
pub(crate) mod overview;
/// A new job, from nothing or like another one.
pub(crate) mod submit;
/// Lists for any user, any history, any version.
pub(crate) mod try_it;
/// A small file becomes a data set.
pub(crate) mod upload;
/// Users who have a history.
pub(crate) mod users;
