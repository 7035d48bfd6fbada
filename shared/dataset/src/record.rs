//! What an import said, as it is kept beside the data set for people who look
//! at it later.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::profile::Profile;
use crate::summary::Report;

/// The version of the record that is written.
const FORMAT: u32 = 1;
/// Warnings, notes and files that are kept of each.
const MOST_LINES: usize = 50;
/// Letters that are kept of a line.
const LONGEST_LINE: usize = 1_000;

/// What an import said, and what the data set looks like. It is no part of the
/// data set: the same rows from another file are the same data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportRecord {
    /// Version of the record.
    pub format: u32,
    /// Lines that were read, the refused ones among them.
    pub n_read: u64,
    /// Lines that were refused.
    pub n_refused: u64,
    /// Repeats of the same user and item.
    pub n_repeats: u64,
    /// Interactions that the k-core left out.
    pub n_outside_core: u64,
    /// What is probably not as it was meant.
    pub warnings: Vec<String>,
    /// What was decided on the way.
    pub notes: Vec<String>,
    /// What the columns of each file were read as.
    pub columns: Vec<String>,
    /// What the interactions look like.
    pub profile: Profile,
    /// False while the histories are being seeded: an import that was killed
    /// leaves it so.
    pub is_seeded: bool,
}

impl Default for ImportRecord {
    fn default() -> Self {
        Self {
            format: FORMAT,
            n_read: 0,
            n_refused: 0,
            n_repeats: 0,
            n_outside_core: 0,
            warnings: Vec::new(),
            notes: Vec::new(),
            columns: Vec::new(),
            profile: Profile::default(),
            is_seeded: false,
        }
    }
}

impl ImportRecord {
    /// The name of its file beside the data set's.
    pub const FILE: &str = "import.json";

    /// Writes down what an import said.
    pub fn of(dataset: &Dataset, report: &Report) -> Self {
        Self {
            format: FORMAT,
            n_read: report.n_read as u64,
            n_refused: report.n_refused as u64,
            n_repeats: report.n_repeats as u64,
            n_outside_core: report.n_outside_core as u64,
            warnings: kept(&report.warnings),
            notes: kept(&report.notes),
            columns: kept(&report.column_lines()),
            profile: Profile::of(dataset, report.times_ms),
            is_seeded: false,
        }
    }
}

/// The first lines, none of them endless.
fn kept(lines: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    for line in lines.iter().take(MOST_LINES) {
        kept.push(domain::shortened(line.clone(), LONGEST_LINE));
    }
    if lines.len() > MOST_LINES {
        kept.push(format!("and {} more", lines.len() - MOST_LINES));
    }
    kept
}
