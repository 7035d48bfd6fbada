//! Linear models beside the language model.

/// What items' texts say, as weighted words.
pub(crate) mod item_words;

/// Singular vectors of interactions and words: where the rows start.
pub(crate) mod spectral;

/// Which items go together, in closed form.
pub mod ease;
/// Two models' scores as one.
pub mod hybrid;

/// Rows of items that nobody has interacted with, from their texts.
pub(crate) mod cold;
