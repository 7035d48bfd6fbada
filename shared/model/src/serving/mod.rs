//! What a scorer computes with.

/// Which items of a history moved a score.
pub(crate) mod explain;
/// Item rows and user states, ready to be multiplied.
pub(crate) mod scoring_tables;
