//! Why a request cannot be answered, and the gRPC code each reason has.

use std::sync::Arc;
use std::time::Duration;

use domain::{Invalid, ModelVersion};
use tonic::{Code, Status};

use crate::unloadable::{Cause, Unloadable};

/// Why a request cannot be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A field of the request has a value that cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no model to serve yet.
    #[error(
        "no model is live; train one with the label `live`, or set the label on a version"
    )]
    NoModel,
    /// The request names a version or label that does not exist.
    #[error("{0} does not exist")]
    NoSuchModel(String),
    /// The version is there but cannot be served.
    #[error("model version {version} cannot be loaded: {}; GetStatus and the scorer's log say more", why.cause)]
    Unloadable {
        /// The version that was asked for.
        version: ModelVersion,
        /// What is wrong with it.
        why: Unloadable,
    },
    /// The request holds a text, and the version cannot read.
    #[error(
        "model version {0} reads no texts; train one with `reading.texts = \"words\"` on a data set with titles or reviews (one of a program before this one is to be trained again)"
    )]
    ReadsNoTexts(ModelVersion),
    /// The request names an item that the version does not know.
    #[error("the item `{0}` is not in this version's catalogue")]
    NoSuchItem(String),
    /// So much is waiting that the answer would come too late.
    #[error("too much is waiting; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The caller's deadline passed, or the default one.
    #[error("there was no answer before the deadline")]
    TooLate,
    /// The computation failed or panicked; the log has the cause.
    #[error("the answer could not be computed; the scorer's log says why")]
    Broken,
    /// The history is needed and cannot be read.
    #[error(
        "the history of this user is out of reach and not remembered; try again, or send it with the request"
    )]
    HistoryUnavailable(#[source] Arc<storage::Error>),
    /// Storage failed in any other way.
    #[error(transparent)]
    Storage(Arc<storage::Error>),
    /// The model thread ended before it had the answer.
    #[error("the model is being replaced; try again")]
    ModelStopped,
}

impl Error {
    /// Makes [`Error::Overloaded`]; coming back within a few milliseconds makes
    /// no sense.
    pub(crate) fn overloaded(retry_after: Duration) -> Self {
        const SHORTEST: Duration = Duration::from_millis(10);
        Self::Overloaded {
            retry_after: retry_after.max(SHORTEST),
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Invalid(invalid) => return proto::invalid_argument(invalid),
            Error::NoModel | Error::ReadsNoTexts(_) => Code::FailedPrecondition,
            Error::NoSuchModel(_) | Error::NoSuchItem(_) => Code::NotFound,
            Error::Overloaded { retry_after } => {
                return proto::overloaded(&error.to_string(), *retry_after);
            }
            Error::TooLate => Code::DeadlineExceeded,
            Error::HistoryUnavailable(_) | Error::ModelStopped => {
                Code::Unavailable
            }
            Error::Storage(storage) => storage_code(storage),
            Error::Unloadable { why, .. } => unloadable_code(why.cause),
            Error::Broken => Code::Internal,
        };
        service::status(code, &error)
    }
}

fn storage_code(error: &storage::Error) -> Code {
    use storage::Error;
    match error {
        Error::Unavailable { .. }
        | Error::Unwritable { .. }
        | Error::File { .. } => Code::Unavailable,
        Error::NotRecorded { source, .. } => storage_code(source),
        Error::NotFound { .. } => Code::NotFound,
        Error::Contended(_) => Code::Aborted,
        Error::Corrupt { .. } => Code::DataLoss,
        Error::Setting { .. } | Error::InUse(_) => Code::Internal,
    }
}

fn unloadable_code(cause: Cause) -> Code {
    match cause {
        Cause::Damaged | Cause::Missing => Code::DataLoss,
        Cause::Unreachable => Code::Unavailable,
        Cause::Unsupported | Cause::NoMemory => Code::FailedPrecondition,
        Cause::Broken => Code::Internal,
    }
}
