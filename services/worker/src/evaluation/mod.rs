//! How good a model is, and how it is served best.

/// Simpler recommenders on the same split.
pub(crate) mod baselines;
/// What is to be found on a held-out split, and how near a ranking comes to it.
pub(crate) mod holdout;
/// Ranks a held-out split, with or without a light model mixed in.
pub(crate) mod ranker;

/// What validation chose, without the model's numbers.
pub(crate) mod choices;
/// Chooses user tokens and the hybrid's weight, on the validation split alone.
pub(crate) mod choose;
/// Measures several versions on what none of them has learned from.
pub(crate) mod compare;
/// Measures what was chosen on the test split, beside the baselines.
pub(crate) mod measure;
/// Writes the model's files.
pub(crate) mod write;

/// The keys under which a model version keeps its metrics.
mod keys;
