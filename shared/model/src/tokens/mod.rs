//! What goes into the backbone.

/// Documents of different lengths, one after the other.
pub(crate) mod packing;
/// Every prompt there is, assembled by id.
pub mod prompt;
/// How rows enter the backbone, and how their gradients come back.
pub(crate) mod soft_tokens;
/// What is learned: rows of users and items.
pub(crate) mod tables;
