//! What a scorer computes with.

/// Item rows and user states, ready to be multiplied.
pub(crate) mod scoring_tables;

/// Which items of a history moved a score.
pub(crate) mod explain;
