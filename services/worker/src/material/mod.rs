//! What training reads: a backbone, histories and texts.

/// The backbone that a job stands on.
pub(crate) mod backbone;
/// The backbones that a job here may name.
pub(crate) mod seen;
/// The files of a version that a job starts from.
mod version;

/// The words of each item.
mod item_words;

/// What each text is about, as columns in a file.
pub(crate) mod about;
/// A data set as the models read it.
pub(crate) mod corpus;
/// Turns a data set's texts into words and writes them to a file.
pub(crate) mod encode;
/// What each user did, and the prompts that are made of it.
pub(crate) mod histories;
/// Tells a kept folder that is whole from an older or a damaged one.
pub(crate) mod seal;
/// A data set's texts as words in a file, kept from job to job.
pub(crate) mod token_file;
