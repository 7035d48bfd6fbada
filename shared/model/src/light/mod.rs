//! Linear models beside the language model.

/// Which items go together, in closed form.
pub mod ease;
/// Singular vectors of the interactions: where the rows start.
pub(crate) mod spectral;
/// Rows of items that nobody has interacted with, from their texts.
pub(crate) mod cold;
/// Two models' scores as one.
pub mod hybrid;
