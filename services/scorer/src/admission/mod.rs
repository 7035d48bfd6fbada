//! How much may be inside at once, and in which order it waits.

/// Who asks, until when they wait, and who goes first.
pub(crate) mod caller;

/// Lets a request in or refuses it at once; counts who is inside and who keeps
/// the cores busy.
pub(crate) mod gate;

/// How many requests a room takes, and which client gets a place.
mod room;

/// Work that waits for a thread: interactive first, several at a time.
pub(crate) mod queue;

/// Measures the model thread, to refuse what would come too late.
pub(crate) mod pace;
