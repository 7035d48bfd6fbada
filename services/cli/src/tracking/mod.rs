//! Training runs in the tools of others: what a job's record says, written for
//! TensorBoard or sent to MLflow. Doing it again changes nothing but what is
//! new.

/// A run of an MLflow server, over its REST interface.
pub(crate) mod mlflow;
/// What is told of a job: metrics with their steps and times, and settings.
mod run;
/// An event file, which TensorBoard reads.
pub(crate) mod tensorboard;

pub(crate) use run::Run;
