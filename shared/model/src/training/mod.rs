//! What the paper learns, and how.

/// A softmax over a sample of the catalogue.
pub(crate) mod candidates;
/// A user prompts a history; the softmax is over items.
pub mod collaborative;
/// A user and an item prompt a text; the softmax is over words.
pub mod content;
/// The losses in closed form, a chunk of positions at a time.
pub(crate) mod loss;
/// Adam on the rows that have a gradient.
pub(crate) mod optimizer;
/// A prompt ranks the whole catalogue.
pub mod recommender;
/// One step: loss and gradients of any of the three.
pub mod step;
/// A random backbone that learns before it is frozen.
pub(crate) mod warmup;
/// How much a step computes, counted.
pub(crate) mod work;
