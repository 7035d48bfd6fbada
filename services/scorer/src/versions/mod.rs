//! The model versions in memory, and which of them a request gets.

/// Which version a request gets: by label, canary share or name.
pub(crate) mod live_model;

/// Which users the canary and the shadow get.
pub(crate) mod user_share;

/// What requests see of the versions in memory: replaced as a whole.
mod snapshot;

/// Loads a version: verify, make room, read, start, warm up.
mod loading;

/// Versions that could not be loaded, and why.
mod failed_loads;

/// User and item rows in the cache that replicas share.
mod shared_rows;

/// A version ready to serve: vocabulary, language model and ranking.
pub(crate) mod loaded;

/// Beside the language model: a light model, popularity for strangers.
pub(crate) mod ranking;

/// What users, items and their texts take in memory.
mod vocabulary_bytes;
