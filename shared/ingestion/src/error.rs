//! Why a data set cannot be ingested.

use std::error::Error as StdError;

/// Why histories were not written: whoever keeps them says it.
pub type KeeperError = Box<dyn StdError + Send + Sync>;

/// Why a data set cannot be ingested. Nothing new is left of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its files could not be written or read.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// They could not be stored.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There was no place to write them to first.
    #[error("a folder for the data set could not be made")]
    Folder(#[from] std::io::Error),
    /// Its histories could not be seeded.
    #[error("the histories could not be seeded")]
    Seeding(#[source] KeeperError),
    /// What an earlier data set seeded could not be taken back.
    #[error(
        "what an earlier data set of this name seeded could not be taken back"
    )]
    Replacing(#[source] KeeperError),
}
