//! What goes into the backbone.

/// Every prompt there is, assembled by id.
pub mod prompt;
/// What is learned: rows of users and items.
pub(crate) mod tables;
/// Documents of different lengths, one after the other.
pub(crate) mod packing;
/// How rows enter the backbone, and how their gradients come back.
pub(crate) mod soft_tokens;
