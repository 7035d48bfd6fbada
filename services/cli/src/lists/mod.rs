//! Lists for many users at once, into one file, and for a few as samples.

/// Asks a scorer for many lists over one stream.
pub(crate) mod batch;
/// The lists that were made so far, so that a run can go on where it stopped.
pub(crate) mod part;
/// What a version recommends to three users.
pub(crate) mod samples;
/// The services that make the lists.
pub(crate) mod source;
/// One row a recommended item, as Parquet, CSV or JSON lines.
pub(crate) mod table;
/// Who gets a list.
pub(crate) mod users;
