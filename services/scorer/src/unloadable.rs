//! Why a model version cannot be served, named by what an operator can do about
//! it.

/// Says why a version cannot be served.
#[derive(Debug, Clone)]
pub struct Unloadable {
    /// What an operator has to do something about.
    pub cause: Cause,
    /// The whole chain of causes, for people to read.
    pub message: String,
}

/// What is wrong with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Its files are not the ones that were published.
    #[error("its files are damaged")]
    Damaged,
    /// A part of it is gone.
    #[error("a part of it is gone")]
    Missing,
    /// Its files cannot be read now.
    #[error("its files cannot be read now")]
    Unreachable,
    /// Another program wrote it, or this device cannot compute it.
    #[error("this program cannot compute it")]
    Unsupported,
    /// It does not fit beside the versions that have labels.
    #[error("there is no memory for it")]
    NoMemory,
    /// Its first state could not be computed.
    #[error("it does not compute")]
    Broken,
}

/// The version is a light model alone.
#[derive(Debug, thiserror::Error)]
#[error(
    "the version has no language model, and this program serves none without one"
)]
pub(crate) struct NoLanguageModel;

impl Unloadable {
    /// Keeps the messages of an error and of all its sources.
    pub(crate) fn new(
        cause: Cause,
        error: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self {
            cause,
            message: service::chain(error),
        }
    }
}

impl From<storage::Error> for Unloadable {
    fn from(error: storage::Error) -> Self {
        use storage::Error;
        let cause = match &error {
            Error::Corrupt { .. } => Cause::Damaged,
            Error::NotFound { .. } => Cause::Missing,
            Error::Unavailable { .. }
            | Error::Unwritable { .. }
            | Error::NotRecorded { .. }
            | Error::File { .. }
            | Error::Contended(_)
            | Error::Setting { .. }
            | Error::InUse(_) => Cause::Unreachable,
        };
        Self::new(cause, &error)
    }
}

impl From<model::Error> for Unloadable {
    fn from(error: model::Error) -> Self {
        use model::Error;
        let cause = match &error {
            Error::File { .. } => Cause::Unreachable,
            Error::OutOfMemory { .. } => Cause::NoMemory,
            Error::Malformed { .. }
            | Error::Shape { .. }
            | Error::Missing { .. }
            | Error::NoTokenizer
            | Error::Device { .. }
            | Error::Precision { .. }
            | Error::Diverged { .. } => Cause::Unsupported,
        };
        Self::new(cause, &error)
    }
}
