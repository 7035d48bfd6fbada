//! What the paper learns, and how: an objective is made by one of three models, a step computes its
//! loss and gradients, the optimiser moves the rows.

/// A softmax over a sample of the catalogue.
pub(crate) mod candidates;
/// The collaborative LM: a user prompts a history; the softmax is over items.
pub mod collaborative;
/// The content LM: a user and an item prompt a text; the softmax is over words.
pub mod content;
/// The softmax cross-entropy in closed form, a chunk of positions at a time.
pub(crate) mod loss;
/// What all three hand to a step: documents, targets, and what the softmax is over.
pub(crate) mod objective;
/// Adam on the rows that have a gradient.
pub(crate) mod optimizer;
/// The recommendation model: a prompt ranks the whole catalogue.
pub mod recommender;
/// The pull of one model's rows to the other's.
pub(crate) mod regularizer;
/// One step: loss and gradients of an objective.
pub mod step;
/// A random backbone learns, before it is frozen.
pub(crate) mod warmup;
/// How much a step computes, counted.
pub(crate) mod work;
