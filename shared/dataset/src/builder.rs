//! Collects what the readers find: ids become numbers at once, and what is not
//! taken is counted.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::dataset::{Split, TextKind};
use crate::interner::Interner;
use crate::tally::Tally;

/// One interaction, ids as numbers in the order of first appearance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) at_ms: i64,
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) split: Option<Split>,
}

/// An interaction as a reader understood it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundRow<'a> {
    pub(crate) user: &'a str,
    pub(crate) item: &'a str,
    pub(crate) at_ms: i64,
    pub(crate) split: Option<Split>,
    /// What the user wrote about the item.
    pub(crate) text: Option<&'a str>,
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
    pub(crate) tally: Tally,
    /// Items with a title that have no interaction stay in the catalogue.
    pub(crate) with_new_items: bool,
}

impl Builder {
    /// Takes one interaction.
    pub(crate) fn interaction(&mut self, found: FoundRow<'_>) {
        let user = self.users.number(found.user);
        let item = self.items.number(found.item);
        self.rows.push(Row {
            at_ms: found.at_ms,
            user,
            item,
            split: found.split,
        });
        if let Some(text) = found.text.filter(|text| !is_blank(text)) {
            self.texts.push(TakenText {
                kind: TextKind::Review,
                user: Some(user),
                item: Some(item),
                text: text.to_owned(),
            });
        }
    }

    /// Takes what is known of an item; one that nobody interacted with is
    /// passed over, unless new items are wanted and it has a title. Says
    /// whether somebody interacted with it.
    pub(crate) fn item(&mut self, id: &str, facts: ItemFacts) -> bool {
        let known = self.items.known(id);
        let is_wanted = self.with_new_items && !facts.title.is_empty();
        let item = if is_wanted {
            Some(self.items.number(id))
        } else {
            known
        };
        if let Some(item) = item {
            self.facts.insert(item, facts);
        }
        known.is_some()
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

    /// Counts a line that is not taken.
    pub(crate) fn refuse(&mut self, path: &Path, line: usize, reason: String) {
        self.tally.refuse(path, line, reason);
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
