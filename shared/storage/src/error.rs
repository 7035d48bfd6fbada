//! What can go wrong with storage, named by what the caller can do.

use std::path::PathBuf;

use domain::UserId;

/// An error of the storage crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store is out of reach; a repeat may succeed.
    #[error("{what} is out of reach")]
    Unavailable {
        /// Which store it is, in words.
        what: &'static str,
        /// Why it cannot be reached.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A store answers but cannot write; what is stored can be read. A repeat
    /// succeeds when somebody has mended the cause.
    #[error("{what} cannot write: {reason}; {remedy}")]
    Unwritable {
        /// Which store it is, in words.
        what: &'static str,
        /// Why it cannot write.
        reason: String,
        /// What an operator can do.
        remedy: &'static str,
    },
    /// The interactions of some users were not recorded, those of the others
    /// were.
    #[error("{users}: {source}")]
    NotRecorded {
        /// Who they are.
        users: RefusedUsers,
        /// Why, for the first of them.
        source: Box<Error>,
    },
    /// There is nothing under this name.
    #[error("{kind} `{name}` does not exist")]
    NotFound {
        /// What kind of thing was asked for, in words.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// What is stored is not what was written, or cannot be understood.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// What is damaged, kind and name.
        what: String,
        /// How the damage shows.
        reason: String,
    },
    /// Another writer was faster, again and again.
    #[error("{0} is being changed by too many writers at once")]
    Contended(String),
    /// A setting cannot be used.
    #[error("setting `{setting}`: {reason}")]
    Setting {
        /// The setting as it is written in a file.
        setting: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The embedded store belongs to one process at a time.
    #[error(
        "the embedded store {0} is in use by another process (`cllm4rec up`?)"
    )]
    InUse(PathBuf),
    /// A local file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why it cannot be accessed.
        #[source]
        source: std::io::Error,
    },
}

/// Users whose interactions were not recorded. Shows so many of them as fit
/// into the header of an answer.
#[derive(Debug)]
pub struct RefusedUsers {
    /// The users, in the order of the call.
    pub users: Vec<UserId>,
    /// How many users the call had.
    pub n_asked: usize,
}

impl std::fmt::Display for RefusedUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MAX_SHOWN_BYTES: usize = 1_000;
        write!(
            f,
            "the interactions of {} of {} users were not recorded (",
            self.users.len(),
            self.n_asked
        )?;
        let mut n_bytes = 0;
        for (place, user) in self.users.iter().enumerate() {
            n_bytes += user.as_str().len();
            if place > 0 && n_bytes > MAX_SHOWN_BYTES {
                return write!(f, "… {} more)", self.users.len() - place);
            }
            write!(f, "{}`{user}`", if place > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl Error {
    /// Makes [`Error::Unavailable`] of its cause.
    pub fn unavailable<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Unavailable {
            what,
            source: source.into(),
        }
    }

    pub(crate) fn file(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn corrupt(
        what: impl Into<String>,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::Corrupt {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}
