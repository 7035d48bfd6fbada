//! Counts what was read and what was not taken, and why.

use std::path::{Path, PathBuf};

use crate::columns::ColumnUse;

/// A line that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file that it stands in.
    pub path: PathBuf,
    /// Its number in the file, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.reason)
    }
}

/// Refused lines that are shown; the others are only counted.
const N_SHOWN: usize = 10;

/// Rows without a value that is needed.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What is missing: `user id`, `item id` or `timestamp`.
    pub(crate) what: &'static str,
    pub(crate) n: usize,
    pub(crate) first: Refusal,
}

/// Ids that say `nan`, `NULL` and the like.
#[derive(Debug)]
pub(crate) struct Suspicious {
    pub(crate) what: &'static str,
    pub(crate) id: String,
    pub(crate) n: usize,
}

/// Items of the items' files, and which of them somebody interacted with.
#[derive(Debug, Default)]
pub(crate) struct ItemTally {
    pub(crate) n_read: usize,
    pub(crate) n_matched: usize,
    /// The first ids that nobody interacted with.
    pub(crate) unmatched: Vec<String>,
    pub(crate) has_title_column: bool,
}

/// What the readers counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) n_read: usize,
    pub(crate) n_refused: usize,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) suspicious: Vec<Suspicious>,
    pub(crate) n_below_rating: usize,
    /// Interactions without a rating where one is needed.
    pub(crate) n_unrated: usize,
    /// Interactions without a rating where none is needed.
    pub(crate) n_without_rating: usize,
    pub(crate) n_without_zone: usize,
    pub(crate) n_latin_1: usize,
    pub(crate) has_times: bool,
    /// A time was written with the day or the month first.
    pub(crate) used_date_order: bool,
    pub(crate) items: Option<ItemTally>,
    pub(crate) columns: Vec<ColumnUse>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) ignored_files: Vec<PathBuf>,
    pub(crate) warnings: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Tally {
    /// Counts a line that is not taken; the first ones are kept.
    pub(crate) fn refuse(&mut self, path: &Path, line: usize, reason: String) {
        self.n_read += 1;
        self.n_refused += 1;
        if self.refusals.len() < N_SHOWN {
            self.refusals.push(Refusal {
                path: path.to_owned(),
                line,
                reason,
            });
        }
    }

    /// Counts a row without a value that is needed; the first one is kept.
    pub(crate) fn miss(
        &mut self,
        path: &Path,
        line: usize,
        what: &'static str,
    ) {
        self.n_read += 1;
        let known = self.missing.iter_mut().find(|one| one.what == what);
        if let Some(known) = known {
            known.n += 1;
            return;
        }
        self.missing.push(Missing {
            what,
            n: 1,
            first: Refusal {
                path: path.to_owned(),
                line,
                reason: format!("{what} is missing"),
            },
        });
    }

    /// Counts an id that says nothing.
    pub(crate) fn suspect(&mut self, what: &'static str, id: &str) {
        let mut known = self.suspicious.iter_mut();
        if let Some(one) = known.find(|one| one.what == what && one.id == id) {
            one.n += 1;
            return;
        }
        self.suspicious.push(Suspicious {
            what,
            id: id.to_owned(),
            n: 1,
        });
    }

    /// Keeps something that people should know; once is enough.
    pub(crate) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(crate) fn n_missing(&self) -> usize {
        self.missing.iter().map(|one| one.n).sum()
    }

    /// The first line that was refused, or misses something.
    pub(crate) fn first_refusal(&self) -> Option<&Refusal> {
        let missing = self.missing.first().map(|one| &one.first);
        self.refusals.first().or(missing)
    }
}
