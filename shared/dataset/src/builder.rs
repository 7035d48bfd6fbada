//! Collects what the readers find: ids become numbers at once, so that ten million rows fit into
//! memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use domain::{ItemId, UserId};
use serde_json::{Map, Value};

use crate::dataset::{Split, TextKind};
use crate::fields::{Cells, parse_rating, parse_split, parse_timestamp};

/// A line that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of which file.
    pub path: PathBuf,
    /// From 1.
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

/// A text about a user, an item or both.
#[derive(Debug)]
pub(crate) struct RawText {
    pub(crate) kind: TextKind,
    pub(crate) user: Option<u32>,
    pub(crate) item: Option<u32>,
    pub(crate) text: String,
}

/// What is known of an item.
#[derive(Debug, Default)]
pub(crate) struct ItemFacts {
    pub(crate) title: String,
    pub(crate) categories: Vec<String>,
    pub(crate) attributes: Map<String, Value>,
}

/// Text ids as numbers.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    fn number(&mut self, id: &str) -> u32 {
        if let Some(&number) = self.numbers.get(id) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(id.into(), number);
        number
    }

    fn known(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// All ids with their numbers, in no order.
    pub(crate) fn by_id(&self) -> Vec<(&str, u32)> {
        self.numbers
            .iter()
            .map(|(id, &number)| (&**id, number))
            .collect()
    }

    /// Ids by number.
    pub(crate) fn into_ids(self) -> Vec<Box<str>> {
        let mut ids: Vec<Box<str>> = vec!["".into(); self.numbers.len()];
        for (id, number) in self.numbers {
            ids[number as usize] = id;
        }
        ids
    }
}

/// Everything the readers found.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) rows: Vec<Row>,
    pub(crate) facts: HashMap<u32, ItemFacts>,
    pub(crate) texts: Vec<RawText>,
    pub(crate) n_read: usize,
    pub(crate) n_refused: usize,
    pub(crate) n_below_rating: usize,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) min_rating: Option<f64>,
    /// Items with a title that have no interaction stay in the catalogue.
    pub(crate) with_new_items: bool,
}

impl Builder {
    /// Takes one interaction; a bad one is counted and the first ones are kept for the report.
    pub(crate) fn interaction(&mut self, path: &Path, line: usize, cells: &Cells<'_>) {
        self.n_read += 1;
        if let Err(reason) = self.try_interaction(cells) {
            self.refuse(path, line, reason);
        }
    }

    fn try_interaction(&mut self, cells: &Cells<'_>) -> Result<(), String> {
        let user = checked(cells.user, "user id", |id| UserId::new(id).map(|_| ()))?;
        let item = checked(cells.item, "item id", |id| ItemId::new(id).map(|_| ()))?;
        let at_ms = cells.timestamp.map_or(Ok(0), parse_timestamp)?;
        let split = cells.split.map(parse_split).transpose()?;
        let rating = cells
            .rating
            .filter(|cell| !cell.trim().is_empty())
            .map(parse_rating)
            .transpose()?;
        if let (Some(rating), Some(least)) = (rating, self.min_rating)
            && rating < least
        {
            self.n_below_rating += 1;
            return Ok(());
        }
        let (user, item) = (self.users.number(user), self.items.number(item));
        self.rows.push(Row {
            at_ms,
            user,
            item,
            split,
        });
        if let Some(text) = cells.text.filter(|text| !text.trim().is_empty()) {
            let text = text.to_owned();
            self.texts.push(RawText {
                kind: TextKind::Review,
                user: Some(user),
                item: Some(item),
                text,
            });
        }
        Ok(())
    }

    /// Takes what is known of an item; one that nobody interacted with is passed over, unless new
    /// items are wanted and it has a title.
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

    /// Takes a text of known users and items; others are passed over.
    pub(crate) fn text(
        &mut self,
        kind: TextKind,
        user: Option<&str>,
        item: Option<&str>,
        text: &str,
    ) {
        let (user_number, item_number) = (
            user.and_then(|id| self.users.known(id)),
            item.and_then(|id| self.items.known(id)),
        );
        let all_known =
            user.is_some() == user_number.is_some() && item.is_some() == item_number.is_some();
        if all_known && !text.trim().is_empty() {
            self.texts.push(RawText {
                kind,
                user: user_number,
                item: item_number,
                text: text.to_owned(),
            });
        }
    }

    pub(crate) fn refuse(&mut self, path: &Path, line: usize, reason: String) {
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

fn checked<'a>(
    cell: Option<&'a str>,
    what: &str,
    check: impl Fn(&str) -> Result<(), domain::Invalid>,
) -> Result<&'a str, String> {
    let id = cell
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| format!("{what} is missing"))?;
    check(id).map_err(|invalid| format!("{what} {invalid}"))?;
    Ok(id)
}
