//! How answers are written.

/// An error in one line, with what to do about it.
pub(crate) mod failure;
/// Other people's text, made safe for a terminal.
pub(crate) mod plain;
/// Writes one answer as JSON or as text.
pub(crate) mod writer;

/// Backbones, for programs and for people.
pub(crate) mod backbone;
/// Answers for programs.
pub(crate) mod json;
/// Answers for people.
pub(crate) mod text;

/// Versions side by side.
pub(crate) mod comparison;
/// All of a job, for people.
pub(crate) mod job_page;
/// How far a job is, in one line.
pub(crate) mod progress;
/// The fields of a specification that are not the defaults.
pub(crate) mod spec_fields;
/// What is said of a model version.
pub(crate) mod version;

/// What to do with a model, judged by its metrics.
mod advice;
/// A line through points, as SVG.
mod chart;
/// Text made safe for a page.
mod html;
/// What a finished job says about itself, as text and as a page.
pub(crate) mod report;
/// The lists and the curves of that page.
pub(crate) mod report_parts;
/// The same job with other seeds.
pub(crate) mod seeds;
