//! Linear models beside the language model.

/// Singular vectors of the interactions: where the rows start.
pub(crate) mod spectral;

/// Which items go together, in closed form.
pub mod ease;
/// Two models' scores as one.
pub mod hybrid;

/// Rows of items that nobody has interacted with, from their texts.
pub(crate) mod cold;
/// The texts of items as rows of numbers.
mod text_rows;
