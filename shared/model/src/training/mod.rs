//! What the paper learns, and how: an objective is made by one of three models,
//! a step computes its loss and gradients, the optimiser moves the rows.

// The three models, and what they hand to a step.

/// The collaborative LM: a user prompts a history; the softmax is over items.
pub mod collaborative;
/// The content LM: a user and an item prompt a text; the softmax is over words.
pub mod content;
/// The recommendation model: a prompt ranks the whole catalogue.
pub mod recommender;

/// A softmax over a sample of the catalogue.
pub(crate) mod candidates;
/// What all three hand to a step: documents, targets, softmax classes.
pub(crate) mod objective;

// A step: the loss, its gradients, and the pull of the other model.

/// One step: loss and gradients of an objective.
pub mod step;

/// The softmax cross-entropy in closed form, a chunk of positions at a time.
pub(crate) mod loss;
/// The targets of a softmax, picked row by row.
mod picks;
/// The pull of one model's rows to the other's.
pub(crate) mod regularizer;
/// What a softmax is taken over and how it counts.
pub(crate) mod softmax;
/// A softmax over many classes, some of them at a time.
mod tiles;

// What moves, and how much there is to do.

/// Adam on the rows that have a gradient.
pub(crate) mod optimizer;
/// A random backbone learns, before it is frozen.
pub(crate) mod warmup;
/// How much a step computes, counted.
pub(crate) mod work;
