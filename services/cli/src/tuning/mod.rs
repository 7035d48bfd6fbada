//! `train tune`: one job for each combination of values, and the best of them.

/// Which values a field is tried with.
pub(crate) mod axis;
/// Which combinations are tried.
pub(crate) mod combinations;
/// What came of it: the best first, as a table and as JSON.
pub(crate) mod ranking;
/// Queues the jobs, and waits until all have ended.
pub(crate) mod sweep;
