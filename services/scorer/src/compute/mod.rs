//! What computes: the language model on its own thread, and the threads that
//! rank catalogues.

/// Frozen language models in memory, one for all versions that stand on it.
pub(crate) mod shared_backbone;

/// Work that takes a core for longer than the async threads may be held up.
pub(crate) mod bounded_work;

/// The language model's part of a version: a prompt becomes a user state.
pub(crate) mod language_model;

/// The way to the model thread: takes what can be in time, refuses the rest.
pub(crate) mod forward;

/// The model thread: prompts that wait together share a forward pass.
mod model_thread;

/// What a user state depends on.
pub(crate) mod state_key;

/// User states that were computed before, in memory and in the shared cache.
pub(crate) mod states;

/// The threads that score the catalogue and make lists of it.
pub(crate) mod rankers;
