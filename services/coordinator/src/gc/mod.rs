//! Removes what nothing needs any more: old jobs with their events and request
//! ids, versions without a label, and the artifacts that only those named.

/// Looks around and removes, when asked and by itself.
pub(crate) mod collector;
/// Which of it nothing needs: plain data in, plain data out.
pub(crate) mod garbage;
/// Everything that is stored, as a collection looks at it.
pub(crate) mod inventory;
/// How much is kept, as the settings say it.
pub(crate) mod keep;
