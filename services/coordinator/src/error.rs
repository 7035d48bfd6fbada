//! What the coordinator refuses, and the gRPC code each refusal has.

use domain::{Invalid, JobId, ModelVersion, QueueName, Refused};
use tonic::{Code, Status};

/// An error of the coordinator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be accepted; every wrong field is named.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The job is not in a state for this, or the lease is not current.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A job that another one is to follow ended without a model.
    #[error(
        "{field}: jobs/{job} {why}: nothing can follow it until it was retried"
    )]
    CannotFollow {
        /// The field that names it.
        field: String,
        /// That job.
        job: JobId,
        /// What became of it, as the end of a sentence.
        why: String,
    },
    /// No more jobs may wait in a queue.
    #[error(
        "the queue `{queue}` holds {most} queued jobs, as many as the coordinator's settings allow \
         (queues.{queue}.max_queued); submit again when some have begun"
    )]
    QueueFull {
        /// The queue.
        queue: QueueName,
        /// How many may wait in it.
        most: usize,
    },
    /// A label still points to the version.
    #[error(
        "model version {version} has the label `{label}`; move or remove the label first"
    )]
    Labelled {
        /// The version that was to be deleted.
        version: ModelVersion,
        /// One of the labels that point to it.
        label: String,
    },
    /// Nobody knows whether a label points to the version.
    #[error("the label `{0}` cannot be read; set it again or remove it first")]
    UnreadableLabel(String),
    /// The store does not say which jobs there are.
    #[error("jobs cannot be given out now: {0}")]
    NoQueue(String),
    /// Records that this coordinator does not see may need what it takes for
    /// garbage.
    #[error("nothing is removed: {0}")]
    NotOurs(String),
    /// The data set's manifest cannot be read.
    #[error("the data set cannot be used: dataset.json: {0}; import it again")]
    BadDataset(serde_json::Error),
    /// A worker's model is not what it says.
    #[error("the committed model cannot be published: {0}")]
    BadModel(BadModel),
    /// The store or the artifacts failed, or do not have what is needed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// What is wrong with a model that a worker committed.
#[derive(Debug, thiserror::Error)]
pub enum BadModel {
    /// Its manifest cannot be read.
    #[error("model.json: {0}")]
    Manifest(serde_json::Error),
    /// It is no answer to the job.
    #[error("it was trained with another specification")]
    OtherSpecification,
}

impl From<BadModel> for Error {
    fn from(bad: BadModel) -> Self {
        Self::BadModel(bad)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(invalid) => return proto::invalid_argument(invalid),
            Error::Refused(_)
            | Error::Labelled { .. }
            | Error::UnreadableLabel(_)
            | Error::NotOurs(_)
            | Error::CannotFollow { .. }
            | Error::BadDataset(_) => Code::FailedPrecondition,
            Error::BadModel(_) => Code::InvalidArgument,
            Error::NoQueue(_) => Code::Unavailable,
            Error::QueueFull { .. } => Code::ResourceExhausted,
            Error::Storage(storage::Error::NotFound { .. }) => Code::NotFound,
            Error::Storage(storage::Error::Contended(_)) => Code::Aborted,
            Error::Storage(storage::Error::Corrupt { .. }) => Code::DataLoss,
            Error::Storage(
                storage::Error::Unavailable { .. }
                | storage::Error::Unwritable { .. }
                | storage::Error::File { .. },
            ) => Code::Unavailable,
            Error::Storage(
                storage::Error::Setting { .. }
                | storage::Error::InUse(_)
                | storage::Error::NotRecorded { .. },
            ) => Code::Internal,
        };

        service::status(code, &error)
    }
}
