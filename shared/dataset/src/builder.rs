//! Collects what the readers find: each line is checked, refused or taken, and
//! ids become numbers at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use domain::{ItemId, UserId};
use serde_json::{Map, Value};

use crate::cells::{Cells, parse_rating, parse_split, parse_timestamp};
use crate::dataset::{Split, TextKind};
use crate::interner::Interner;

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

/// One interaction, ids as numbers in the order of first appearance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) at_ms: i64,
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) split: Option<Split>,
}

/// A text as a reader found it, about a user, an item or both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundText<'a> {
    pub(crate) kind: TextKind,
    pub(crate) user: Option<&'a str>,
    pub(crate) item: Option<&'a str>,
    pub(crate) text: &'a str,
}

/// A text that was taken, ids as numbers.
#[derive(Debug)]
pub(crate) struct TakenText {
    pub(crate) kind: TextKind,
    pub(crate) user: Option<u32>,
    pub(crate) item: Option<u32>,
    pub(crate) text: String,
}

/// What is known of an item beside its id.
#[derive(Debug, Default)]
pub(crate) struct ItemFacts {
    pub(crate) title: String,
    pub(crate) categories: Vec<String>,
    pub(crate) attributes: Map<String, Value>,
}

/// Everything the readers found.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) rows: Vec<Row>,
    pub(crate) facts: HashMap<u32, ItemFacts>,
    pub(crate) texts: Vec<TakenText>,
    pub(crate) n_read: usize,
    pub(crate) n_refused: usize,
    pub(crate) n_below_rating: usize,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) min_rating: Option<f64>,
    /// Items with a title that have no interaction stay in the catalogue.
    pub(crate) with_new_items: bool,
}

impl Builder {
    /// Takes one interaction; a bad one is counted and the first ones are kept
    /// for the report.
    pub(crate) fn interaction(
        &mut self,
        path: &Path,
        line: usize,
        cells: &Cells<'_>,
    ) {
        match self.try_interaction(cells) {
            Ok(()) => self.n_read += 1,
            Err(reason) => self.refuse(path, line, reason),
        }
    }

    fn try_interaction(&mut self, cells: &Cells<'_>) -> Result<(), String> {
        let user = present(cells.user, "user id")?;
        UserId::new(user).map_err(|invalid| format!("user id {invalid}"))?;
        let item = present(cells.item, "item id")?;
        ItemId::new(item).map_err(|invalid| format!("item id {invalid}"))?;
        let at_ms = cells.timestamp.map_or(Ok(0), parse_timestamp)?;
        let split = cells.split.map(parse_split).transpose()?;
        let rating = cells.rating.filter(|cell| !is_blank(cell));
        let rating = rating.map(parse_rating).transpose()?;
        if self.is_below(rating) {
            self.n_below_rating += 1;
            return Ok(());
        }
        let user = self.users.number(user);
        let item = self.items.number(item);
        self.rows.push(Row {
            at_ms,
            user,
            item,
            split,
        });
        if let Some(text) = cells.text.filter(|text| !is_blank(text)) {
            self.texts.push(TakenText {
                kind: TextKind::Review,
                user: Some(user),
                item: Some(item),
                text: text.to_owned(),
            });
        }
        Ok(())
    }

    fn is_below(&self, rating: Option<f64>) -> bool {
        match (rating, self.min_rating) {
            (Some(rating), Some(least)) => rating < least,
            _ => false,
        }
    }

    /// Takes what is known of an item; one that nobody interacted with is
    /// passed over, unless new items are wanted and it has a title.
    pub(crate) fn item(&mut self, id: &str, facts: ItemFacts) {
        let is_wanted = self.with_new_items && !facts.title.is_empty();
        let item = if is_wanted {
            Some(self.items.number(id))
        } else {
            self.items.known(id)
        };
        if let Some(item) = item {
            self.facts.insert(item, facts);
        }
    }

    /// Takes a text about known users and items; others are passed over.
    pub(crate) fn text(&mut self, found: FoundText<'_>) {
        let user = found.user.and_then(|id| self.users.known(id));
        let item = found.item.and_then(|id| self.items.known(id));
        let is_about_unknown = found.user.is_some() != user.is_some()
            || found.item.is_some() != item.is_some();
        if is_about_unknown || is_blank(found.text) {
            return;
        }
        self.texts.push(TakenText {
            kind: found.kind,
            user,
            item,
            text: found.text.to_owned(),
        });
    }

    /// Counts a line that is not taken; the first ones are kept for the report.
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
}

/// A cell that must not be empty, trimmed.
fn present<'a>(cell: Option<&'a str>, what: &str) -> Result<&'a str, String> {
    let cell = cell.map(str::trim).unwrap_or_default();
    if cell.is_empty() {
        return Err(format!("{what} is missing"));
    }
    Ok(cell)
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
