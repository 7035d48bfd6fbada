//! Why a request cannot be answered, and the gRPC code each reason has.

use std::time::Duration;

use domain::{Invalid, ModelVersion};
use tonic::{Code, Status};

use crate::unloadable::{Cause, Unloadable};

/// An error of the scorer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Bad input.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no model to serve yet.
    #[error("no model is live; train one with the label `live`, or set the label on a version")]
    NoModel,
    /// The request names a version or label that does not exist.
    #[error("{0} does not exist")]
    NoSuchModel(String),
    /// The version is there but cannot be served.
    #[error("model version {version} cannot be loaded: {}; GetStatus and the scorer's log say more", why.cause)]
    Unloadable {
        /// Which.
        version: ModelVersion,
        /// What is wrong with it.
        why: Unloadable,
    },
    /// The request names an item that the version does not know.
    #[error("the item `{0}` is not in this version's catalogue")]
    NoSuchItem(String),
    /// Too much is waiting for an answer in time.
    #[error("too much is waiting; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The caller's deadline passed, or the default one.
    #[error("there was no answer before the deadline")]
    TooLate,
    /// A computation broke.
    #[error("the answer could not be computed; the scorer's log says why")]
    Broken,
    /// The history is needed and cannot be read.
    #[error(
        "the history of this user is out of reach and not remembered; try again, or send it with the request"
    )]
    HistoryUnavailable(#[source] std::sync::Arc<storage::Error>),
    /// Storage failed otherwise.
    #[error("storage failed")]
    Storage(#[source] std::sync::Arc<storage::Error>),
    /// The model thread is gone.
    #[error("the model is being replaced; try again")]
    ModelStopped,
}

impl Error {
    /// [`Error::Overloaded`]; coming back within a few milliseconds makes no sense.
    pub(crate) fn overloaded(retry_after: Duration) -> Self {
        const SHORTEST: Duration = Duration::from_millis(10);
        Self::Overloaded {
            retry_after: retry_after.max(SHORTEST),
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(std::sync::Arc::new(error))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(invalid) => return proto::invalid_argument(invalid),
            Error::NoModel => Code::FailedPrecondition,
            Error::NoSuchModel(_) | Error::NoSuchItem(_) => Code::NotFound,
            Error::Overloaded { retry_after } => {
                return proto::overloaded(&error.to_string(), *retry_after);
            }
            Error::TooLate => Code::DeadlineExceeded,
            Error::HistoryUnavailable(_) | Error::ModelStopped => Code::Unavailable,
            Error::Storage(storage) => match storage.as_ref() {
                storage::Error::Unavailable { .. } | storage::Error::File { .. } => {
                    Code::Unavailable
                }
                storage::Error::NotFound { .. } => Code::NotFound,
                storage::Error::Contended(_) => Code::Aborted,
                storage::Error::Corrupt { .. } => Code::DataLoss,
                storage::Error::Setting { .. } | storage::Error::InUse(_) => Code::Internal,
            },
            Error::Unloadable { why, .. } => match why.cause {
                Cause::Damaged | Cause::Missing => Code::DataLoss,
                Cause::Unreachable => Code::Unavailable,
                Cause::Unsupported | Cause::NoMemory => Code::FailedPrecondition,
                Cause::Broken => Code::Internal,
            },
            Error::Broken => Code::Internal,
        };
        service::status(code, &error)
    }
}
