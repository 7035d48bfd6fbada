//! What goes into the backbone: the tokens of prompts, and the rows behind
//! them.

/// Every prompt there is, assembled by id.
pub mod prompt;

/// Rows that nobody has moved yet.
pub(crate) mod fresh_rows;
/// Rows of one width, kept on the host.
pub(crate) mod table;
/// What is learned: the tables of users and items.
pub(crate) mod tables;

/// Documents of different lengths become one batch.
pub(crate) mod packing;
/// Gradients of the rows that a batch touches.
pub(crate) mod row_gradients;
/// The rows of a batch enter the backbone, and their gradients come back.
pub(crate) mod soft_tokens;
/// Words without users and items.
pub(crate) mod words;
