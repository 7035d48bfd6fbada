//! Data sets: readers for what people have, one checked and immutable form for
//! what a job trains on.
//!
//! [`import`] is the way in; [`Dataset`] is the result. Who keeps it is not
//! this crate's business.

// The flow: from a path to a data set, step by step.
/// Collects what was found.
mod builder;
/// Finds the columns that mean something.
mod columns;
/// Imports a path: the steps below in their order.
mod import;
/// Makes interactions of rows.
mod interactions;
/// Gives external ids the numbers that the builder's rows have.
mod interner;
/// Makes titles, categories and attributes of an items' file.
mod items;
/// Finds out what the files of a path hold.
mod layout;
/// Gives users and items their rows in the data set.
mod numbering;
/// Leaves out repeats, and users and items with too few interactions.
mod pruning;
/// Splits interactions into training, validation and test.
mod split;
/// Says what an import did.
mod summary;
/// Reads a file as rows of cells, whatever its form.
mod table;
/// Counts what was not taken, and why.
mod tally;
/// Says what cells mean: ids, times, ratings.
mod values;

// The result: what it is, on disk too, and why there may be none.
/// Defines the data set that a job trains on.
mod dataset;
/// Lists why a data set cannot be imported or read.
mod error;
/// Writes a data set to a folder and reads it back.
mod files;
/// Says what the interactions of a data set look like.
mod profile;
/// Keeps what an import said.
mod record;

pub use columns::{ColumnUse, Columns};
pub use dataset::{Dataset, Interactions, Manifest, Split, Text, TextKind};
pub use error::Error;
pub use files::texts;
pub use import::{ImportOptions, import};
pub use layout::Format;
pub use profile::{Band, Profile, SampleInteraction, SampleItem, ShareOfItems};
pub use record::ImportRecord;
pub use split::SplitRule;
pub use summary::{ItemsReport, Report};
pub use tally::Refusal;
pub use values::times::{DateOrder, date_of};
