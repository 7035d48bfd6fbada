//! How a data set comes into the store.

/// The arguments that say how a path is read, and the reading.
pub(crate) mod reading;
/// Who writes histories down: the store, or a scorer.
pub(crate) mod seeding;
/// Stores a data set and seeds its histories, both or neither.
pub(crate) mod store;
/// What an import says of itself.
pub(crate) mod summary;
