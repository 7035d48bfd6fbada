//! How much may be inside at once, and in which order it waits.

/// Who asks, until when they wait, and who goes first.
pub(crate) mod caller;

/// Lets a request in or refuses it at once; counts who is inside and who keeps
/// the cores busy.
pub(crate) mod gate;

/// How many requests one room of the gate takes now, and which client gets a
/// place.
mod room;

/// Work that waits for a thread: interactive before batch, taken several at a
/// time.
pub(crate) mod queue;

/// How fast the model thread is: by this it is known what could still be in
/// time.
pub(crate) mod pace;
