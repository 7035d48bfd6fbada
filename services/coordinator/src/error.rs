//! What the coordinator refuses, and the gRPC code each refusal has.

use domain::{Invalid, ModelVersion, Refused};
use tonic::{Code, Status};

/// An error of the coordinator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad input.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The job is not in a state for this, or the lease is not current.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A label still points to the version.
    #[error("model version {version} has the label `{label}`; move or remove the label first")]
    Labelled {
        /// The version.
        version: ModelVersion,
        /// One of its labels.
        label: String,
    },
    /// The data set's manifest cannot be read.
    #[error("the data set cannot be used: {0}; import it again")]
    BadDataset(String),
    /// A worker's model is not what it says.
    #[error("the committed model cannot be published: {0}")]
    BadModel(String),
    /// The store or the artifacts.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(invalid) => return proto::invalid_argument(invalid),
            Error::Refused(_) | Error::Labelled { .. } | Error::BadDataset(_) => {
                Code::FailedPrecondition
            }
            Error::BadModel(_) => Code::InvalidArgument,
            Error::Storage(storage::Error::NotFound { .. }) => Code::NotFound,
            Error::Storage(storage::Error::Contended(_)) => Code::Aborted,
            Error::Storage(storage::Error::Corrupt { .. }) => Code::DataLoss,
            Error::Storage(storage::Error::Unavailable { .. } | storage::Error::File { .. }) => {
                Code::Unavailable
            }
            Error::Storage(storage::Error::Setting { .. } | storage::Error::InUse(_)) => {
                Code::Internal
            }
        };
        service::status(code, &error)
    }
}
