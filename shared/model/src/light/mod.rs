//! Linear models beside the language model.

/// Singular vectors of interactions and words: where the rows start.
pub(crate) mod spectral;

/// Which items go together, in closed form.
pub mod ease;
/// Two models' scores as one.
pub mod hybrid;
/// From the rows of one table to those of another.
pub(crate) mod row_map;
