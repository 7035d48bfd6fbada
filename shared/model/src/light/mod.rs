//! Linear models beside the language model.

/// Rows of items that nobody has interacted with, from their texts.
pub(crate) mod cold;
/// Which items go together, in closed form.
pub mod ease;
/// Two models' scores as one.
pub mod hybrid;
/// Singular vectors of the interactions: where the rows start.
pub(crate) mod spectral;
