//! How a data set comes into the store: its files become an artifact, its
//! interactions histories, both or neither. Whoever imports, the command line or
//! the coordinator, does it through [`Ingestion`].

/// Stores a data set and seeds its histories, both or neither.
mod ingest;
/// What an import takes the place of.
mod replaced;
/// Makes interactions of some splits histories, and takes them back.
mod seeding;

/// Lists why a data set cannot be ingested.
mod error;

pub use error::{Error, KeeperError};
pub use ingest::{Ingested, Ingestion};
pub use replaced::{Replaced, tell};
pub use seeding::{Batch, HistoryKeeper, SeededSplits, Seeding};
