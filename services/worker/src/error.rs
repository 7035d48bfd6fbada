//! Why an attempt at a job ends early, and how that is told to the coordinator.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use domain::{Cause, CauseKind};

/// Any error, kept as the source of another one.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of a training attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked for the job to stop, or the process is shutting down.
    #[error("training was stopped")]
    Stopped,
    /// The data set cannot be trained on.
    #[error("the data set cannot be used")]
    Data(#[source] dataset::Error),
    /// The version that the job starts from cannot be used.
    #[error("the version to start from (`start_from`) cannot be used")]
    Earlier(#[source] model::Error),
    /// The backbone cannot be loaded.
    #[error("the backbone cannot be used")]
    Backbone(#[source] model::Error),
    /// A file of a hub or of a package index cannot be fetched.
    #[error(
        "cannot fetch {url}; without a network, put the backbone's files into {folder}"
    )]
    Hub {
        /// The address of the file.
        url: String,
        /// The folder where it would be kept.
        folder: PathBuf,
        /// What the hub or the network answered.
        #[source]
        source: Box<ureq::Error>,
    },
    /// There is no backbone where one was looked for.
    #[error("there is no backbone at {path}; {advice}")]
    NoBackbone {
        /// Where it was looked for.
        path: PathBuf,
        /// How one comes there.
        advice: String,
    },
    /// A backbone cannot be added from where somebody says it is.
    #[error("`{what}`: {reason}")]
    NotAdded {
        /// What was asked for.
        what: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Another backbone has the name already.
    #[error(
        "{folder} is there already; `cllm4rec backbone remove {name}` removes it, `--name` gives the new one another name"
    )]
    Taken {
        /// The name that was asked for.
        name: String,
        /// The folder of the backbone that has it.
        folder: PathBuf,
    },
    /// A file that was fetched is not the one that is pinned.
    #[error(
        "{file} has the SHA-256 {found} instead of {expected}: it was changed on its way or replaced where it is from"
    )]
    Hash {
        /// The name of the file that was fetched.
        file: String,
        /// The hash that the file has.
        found: String,
        /// The hash that is pinned for it.
        expected: String,
    },
    /// A loss was not a finite number.
    #[error("training diverged")]
    Diverged(#[source] model::Error),
    /// The artifact store failed.
    #[error("storage failed")]
    Storage(#[from] storage::Error),
    /// Something else in the model failed.
    #[error("the model cannot be computed")]
    Model(#[source] model::Error),
    /// The specification does not fit the data set or the worker.
    #[error("{0}")]
    Spec(String),
    /// The checkpoint to go on from cannot be read.
    #[error("the checkpoint {folder} cannot be used")]
    Checkpoint {
        /// The folder of the checkpoint.
        folder: PathBuf,
        /// What is wrong with its files.
        #[source]
        source: Source,
    },
    /// A file that the worker keeps for later jobs is not what was written.
    #[error("{path} is not what a worker wrote: {reason}")]
    Damaged {
        /// The file or folder that is damaged.
        path: PathBuf,
        /// How the damage shows.
        reason: String,
    },
    /// A local file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file or folder that was tried.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: io::Error,
    },
}

/// A file that the model crate cannot write is the worker's own, in its scratch
/// folder.
impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        let model::Error::File { path, source } = error else {
            return Self::Model(error);
        };
        Self::File { path, source }
    }
}

impl Error {
    /// The cause as a job shows it: the whole chain, in one line.
    pub fn cause(&self) -> Cause {
        Cause {
            kind: self.kind(),
            message: service::chain(self),
        }
    }

    /// True where time alone may mend it: a full disk, a store or a hub that is
    /// away.
    pub(crate) fn is_passing(&self) -> bool {
        self.kind() == CauseKind::Unavailable
    }

    /// What a repeat on the same input would meet again has a kind that is
    /// final at once; what time mends, or another attempt on the worker's own
    /// files, costs the job no attempt.
    fn kind(&self) -> CauseKind {
        match self {
            Self::Data(dataset::Error::File { source, .. })
            | Self::Earlier(model::Error::File { source, .. })
            | Self::Backbone(model::Error::File { source, .. })
                if is_outage(source) =>
            {
                CauseKind::Unavailable
            }
            Self::Data(_) | Self::Earlier(_) | Self::Spec(_) => {
                CauseKind::BadData
            }
            Self::Backbone(_)
            | Self::NoBackbone { .. }
            | Self::NotAdded { .. }
            | Self::Taken { .. }
            | Self::Hash { .. } => CauseKind::BadBackbone,
            Self::Hub { source, .. } if is_refusal(source) => {
                CauseKind::BadBackbone
            }
            Self::Diverged(_) => CauseKind::Diverged,
            Self::Model(model::Error::OutOfMemory { .. }) => {
                CauseKind::OutOfMemory
            }
            Self::Hub { .. }
            | Self::Storage(_)
            | Self::Damaged { .. }
            | Self::File { .. } => CauseKind::Unavailable,
            Self::Stopped | Self::Model(_) | Self::Checkpoint { .. } => {
                CauseKind::Internal
            }
        }
    }

    /// [`Error::File`] at a path.
    pub(crate) fn file(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// [`Error::NotAdded`] for a reason.
    pub(crate) fn not_added(what: &str, reason: impl Into<String>) -> Self {
        Self::NotAdded {
            what: what.to_owned(),
            reason: reason.into(),
        }
    }

    /// [`Error::Checkpoint`] in a folder.
    pub(crate) fn checkpoint<E: Into<Source>>(
        folder: &Path,
    ) -> impl FnOnce(E) -> Self {
        let folder = folder.to_owned();
        move |source| Self::Checkpoint {
            folder,
            source: source.into(),
        }
    }

    /// [`Error::Damaged`] for a reason.
    pub(crate) fn damaged(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// True for a disk that fails, is full, or is away. A file that is missing or
/// that nobody may read is somebody's to put right.
fn is_outage(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::UnexpectedEof
    )
}

/// True when the hub refuses the file: it will refuse it again. A hub out of
/// reach may be back.
fn is_refusal(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::StatusCode(400..=407 | 409..=428 | 430..500)
    )
}

/// A model error inside a training step: a loss that is not finite is its own
/// case.
pub(crate) fn in_step(error: model::Error) -> Error {
    match error {
        model::Error::Diverged { .. } => Error::Diverged(error),
        model::Error::File { .. }
        | model::Error::Malformed { .. }
        | model::Error::Shape { .. }
        | model::Error::Missing { .. }
        | model::Error::NoTokenizer
        | model::Error::Device { .. }
        | model::Error::OutOfMemory { .. }
        | model::Error::Precision { .. } => Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_own_damaged_file_is_not_held_against_the_data() {
        let path = Path::new("scratch/tokens/d-64/words.u32");
        let damaged = Error::damaged(path, "its hash is another one");
        assert_eq!(damaged.cause().kind, CauseKind::Unavailable);
        let unread = Error::checkpoint(path)("no such field");
        assert_eq!(unread.cause().kind, CauseKind::Internal);
        assert!(unread.cause().message.ends_with(": no such field"));
    }

    #[test]
    fn a_damaged_data_set_is_final() {
        let empty = dataset::Error::Empty("no interactions".to_owned());
        assert_eq!(Error::Data(empty).cause().kind, CauseKind::BadData);
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_missing_backbone_is_not() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let gone = io::Error::from(ErrorKind::NotFound);
        assert!(Error::file("scratch")(full()).is_passing());
        let written = model::Error::file("scratch/model")(full());
        assert!(Error::from(written).is_passing());
        let read = model::Error::file("backbones/b")(full());
        assert!(Error::Backbone(read).is_passing());
        let read = model::Error::file("backbones/b")(gone);
        assert!(!Error::Backbone(read).is_passing());
    }
}
