//! What pages consist of.

/// Bars for counts.
pub(crate) mod bars;
/// A request as programs send it.
pub(crate) mod copied;
/// Curves of training, as data for a script and as a table.
pub(crate) mod curves;
/// A job: its state, its settings.
pub(crate) mod job;
/// Head, navigation and foot of every page.
pub(crate) mod layout;
/// A list of recommended items.
pub(crate) mod list;
/// How good a model is, beside simpler methods.
pub(crate) mod metrics;
/// Numbers, times and names as people read them.
pub(crate) mod written;
