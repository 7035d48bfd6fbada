//! Why an attempt at a job ends early, and how that is told to the coordinator.

use domain::{Cause, CauseKind};

/// An error of a training attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked for the job to stop, or the process is shutting down.
    #[error("training was stopped")]
    Stopped,
    /// The data set cannot be trained on.
    #[error("the data set cannot be used")]
    Data(#[source] dataset::Error),
    /// The backbone cannot be loaded.
    #[error("the backbone cannot be used")]
    Backbone(#[source] model::Error),
    /// A hub's file cannot be fetched.
    #[error("cannot fetch {url}; without a network, put the backbone's files into {folder}")]
    Hub {
        /// Of the file.
        url: String,
        /// Where it would be kept.
        folder: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A loss was not a finite number.
    #[error("training diverged")]
    Diverged(#[source] model::Error),
    /// The artifact store.
    #[error("storage failed")]
    Storage(#[from] storage::Error),
    /// Something else in the model failed.
    #[error("the model cannot be computed")]
    Model(#[from] model::Error),
    /// The specification does not fit the data set or the worker.
    #[error("{0}")]
    Spec(String),
    /// A file of the worker's own.
    #[error("cannot access {path}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The cause as a job shows it: the whole chain, in one line.
    pub fn cause(&self) -> Cause {
        let kind = match self {
            Self::Data(_) | Self::Spec(_) => CauseKind::BadData,
            Self::Backbone(_) => CauseKind::BadBackbone,
            // What the hub refuses it will refuse again; a hub out of reach may be back.
            Self::Hub { source, .. } => {
                let refused = matches!(
                    **source,
                    ureq::Error::StatusCode(400..=407 | 409..=428 | 430..500)
                );
                if refused {
                    CauseKind::BadBackbone
                } else {
                    CauseKind::Internal
                }
            }
            Self::Diverged(_) => CauseKind::Diverged,
            Self::Model(model::Error::OutOfMemory { .. }) => CauseKind::OutOfMemory,
            Self::Stopped | Self::Storage(_) | Self::Model(_) | Self::File { .. } => {
                CauseKind::Internal
            }
        };
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            message.push_str(&format!(": {error}"));
            source = error.source();
        }
        Cause { kind, message }
    }

    pub(crate) fn file(path: impl Into<std::path::PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// A model error inside a training step: a loss that is not finite is its own case.
pub(crate) fn in_step(error: model::Error) -> Error {
    match error {
        model::Error::Diverged { .. } => Error::Diverged(error),
        model::Error::File { .. }
        | model::Error::Malformed { .. }
        | model::Error::Shape { .. }
        | model::Error::Missing { .. }
        | model::Error::Device { .. }
        | model::Error::OutOfMemory { .. }
        | model::Error::Precision { .. } => Error::Model(error),
    }
}
