//! Why a data set cannot be imported or read.

use std::path::PathBuf;

/// An error of the dataset crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file or folder that was asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not in the form that it was taken for.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file or folder that cannot be understood.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Too many lines were refused.
    #[error(
        "{refused} of {read} lines were refused, more than the share of {allowed} that is allowed; first: {first}"
    )]
    TooManyRefused {
        /// Number of refused lines.
        refused: usize,
        /// Number of lines that were read, the refused ones among them.
        read: usize,
        /// The share that
        /// [`ImportOptions::max_refused_share`](crate::ImportOptions) allows, 0
        /// to 1.
        allowed: f64,
        /// The first refused line: its file, number and reason.
        first: String,
    },
    /// An option does not fit the data, or has no effect on it.
    #[error("{0}")]
    Option(String),
    /// Nothing is left to train on.
    #[error("{0}")]
    Empty(String),
}

impl Error {
    pub(crate) fn file(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn malformed(
        path: impl Into<PathBuf>,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::Malformed {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}
