//! Data sets: readers for what people have, one checked and immutable form for what a job trains
//! on.
//!
//! [`import`] is the way in; [`Dataset`] is the result. Who keeps it is not this crate's business.

mod builder;
mod dataset;
mod error;
mod fields;
mod import;
mod readers;
mod split;

pub use builder::Refusal;
pub use dataset::{Dataset, Interactions, Manifest, Split, Text, TextKind, texts};
pub use error::Error;
pub use fields::Columns;
pub use import::{Format, ImportOptions, Report, import};
pub use split::SplitRule;
