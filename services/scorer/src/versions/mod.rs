//! The model versions in memory, and which of them a request gets.

/// ★ Which version a request gets: by its label, the canary's share, or by
/// name.
pub(crate) mod live_model;

/// Which users the canary and the shadow get.
pub(crate) mod user_share;

/// What requests see of the versions in memory: replaced as a whole.
mod snapshot;

/// From the artifact store into memory: verify, make room, read, start, warm
/// up.
mod loading;

/// Versions that could not be loaded, and why.
mod failed_loads;

/// User and item rows in the cache that replicas share.
mod shared_rows;

/// A version that is ready to serve: its vocabulary, its language model, and
/// what ranks.
pub(crate) mod loaded;

/// What ranks after the language model: a light model's share, popularity for
/// strangers.
pub(crate) mod ranking;

/// What users, items and their texts take in memory.
mod vocabulary_bytes;
