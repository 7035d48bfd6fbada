//! What a scorer computes with.

/// Item rows and user states, ready to be multiplied.
pub(crate) mod catalogue;
/// Which items of a history moved a score.
pub(crate) mod explain;
