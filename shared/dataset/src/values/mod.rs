//! What cells mean: the same for every form that a file can have.

/// Ids of users and items.
pub(crate) mod ids;
/// Words that stand for nothing.
pub(crate) mod missing;
/// Ratings and splits.
pub(crate) mod ratings;
/// How people write times.
mod time_forms;
/// Times, as numbers and as people write them.
pub(crate) mod times;
