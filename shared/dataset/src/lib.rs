//! Data sets: readers for what people have, one checked and immutable form for
//! what a job trains on.
//!
//! [`import`] is the way in; [`Dataset`] is the result. Who keeps it is not
//! this crate's business.

// The flow: from a path to a data set, step by step.
/// Collects what the readers found and counts what it refuses.
mod builder;
/// Says what the cells of a line mean.
mod cells;
/// Finds the columns of a file that mean something.
mod columns;
/// Names the forms that are read and recognises a path's form.
mod format;
/// Imports a path: the steps below in their order.
mod import;
/// Gives external ids the numbers that the builder's rows have.
mod interner;
/// Gives users and items their rows in the data set.
mod numbering;
/// Leaves out repeats, and users and items with too few interactions.
mod pruning;
/// Reads each form, line by line, into the builder.
mod readers;
/// Splits interactions into training, validation and test.
mod split;

// The result: what it is, on disk too, and why there may be none.
/// Defines the data set that a job trains on.
mod dataset;
/// Lists why a data set cannot be imported or read.
mod error;
/// Writes a data set to a folder and reads it back.
mod files;

pub use builder::Refusal;
pub use columns::Columns;
pub use dataset::{Dataset, Interactions, Manifest, Split, Text, TextKind};
pub use error::Error;
pub use files::texts;
pub use format::Format;
pub use import::{ImportOptions, Report, import};
pub use split::SplitRule;
