//! How long a job will take: the work of its parts, counted from a
//! specification and a data set's counts, over the rates of a machine that was
//! calibrated by doing such parts.

/// The sizes of a language model, as far as time follows from them.
pub(crate) mod body;
/// How fast a machine does it, measured.
pub(crate) mod calibration;
/// How much each part of a job computes.
pub(crate) mod operations;
/// What a job's time is spent on.
pub(crate) mod part;
