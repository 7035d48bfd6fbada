//! What goes into the backbone: the tokens of prompts, and the rows behind them.

/// Documents of different lengths become one batch.
pub(crate) mod packing;
/// Every prompt there is, assembled by id.
pub mod prompt;
/// Gradients of the rows that a batch touches.
pub(crate) mod row_gradients;
/// The rows of a batch enter the backbone, and their gradients come back.
pub(crate) mod soft_tokens;
/// What is learned: rows of users and items.
pub(crate) mod tables;
/// Words without users and items.
pub(crate) mod words;
