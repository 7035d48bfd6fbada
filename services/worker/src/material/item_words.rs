//! The words of each item: of its title, categories and attributes, its
//! descriptions, and the reviews that training may see.

use std::collections::HashSet;
use std::path::Path;

use dataset::{Dataset, Text, TextKind};
use domain::{Item, TrainSpec};
use model::{ItemWords, WordCounter};
use serde_json::Value;

use crate::contract::progress::Progress;
use crate::error::Error;

/// An attribute longer than this, in bytes, is a text and not a name.
const LONGEST_NAME: usize = 64;
/// Texts that are read between two looks at whether the job should stop.
const TEXTS_AT_ONCE: usize = 4_096;

/// The texts of a data set's items.
pub(super) struct ItemTexts<'a> {
    pub(super) dataset: &'a Dataset,
    /// The data set's own folder.
    pub(super) folder: &'a Path,
    /// (user, item) of every interaction that training must not see.
    pub(super) held_out: &'a HashSet<(u32, u32)>,
}

impl ItemTexts<'_> {
    /// Reads the words of the items; none where the job reads no texts.
    pub(super) fn words(
        &self,
        spec: &TrainSpec,
        progress: &Progress,
    ) -> Result<ItemWords, Error> {
        let items = &self.dataset.items;
        if !spec.reads_texts() {
            return Ok(ItemWords::none(items.len()));
        }
        let mut words = WordCounter::new(items.len());
        for (row, item) in (0u32..).zip(items) {
            add_item(&mut words, row, item);
        }
        let texts = dataset::texts(self.folder).map_err(Error::Data)?;
        for (number, text) in texts.enumerate() {
            if number % TEXTS_AT_ONCE == 0 {
                progress.check()?;
            }
            self.add_text(&mut words, &text.map_err(Error::Data)?);
        }
        Ok(words.finish())
    }

    /// A held-out pair's review would tell what is to be found out.
    fn add_text(&self, words: &mut WordCounter, text: &Text) {
        let Some(item) = text.item else {
            return;
        };
        let gives_away = match (text.kind, text.user) {
            (TextKind::Review, Some(user)) => {
                self.held_out.contains(&(user, item))
            }
            _ => false,
        };
        if !gives_away {
            words.add_text(item, &text.text);
        }
    }
}

fn add_item(words: &mut WordCounter, row: u32, item: &Item) {
    words.add_text(row, &item.title);
    for category in &item.categories {
        words.add_value(row, "category", category);
    }
    for (name, value) in &item.attributes {
        add_attribute(words, row, &Attribute { name, value });
    }
}

/// A named value of an item.
struct Attribute<'a> {
    name: &'a str,
    value: &'a Value,
}

/// A number says how much, not what: it is no word.
fn add_attribute(words: &mut WordCounter, row: u32, attribute: &Attribute<'_>) {
    let name = attribute.name;
    match attribute.value {
        Value::String(text) if text.len() > LONGEST_NAME => {
            words.add_text(row, text);
        }
        Value::String(value) => words.add_value(row, name, value),
        Value::Bool(true) => words.add_value(row, name, "true"),
        Value::Array(values) => {
            for value in values {
                add_attribute(words, row, &Attribute { name, value });
            }
        }
        Value::Null | Value::Bool(false) | Value::Number(_) => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = &format!("{name}.{field}");
                add_attribute(words, row, &Attribute { name, value });
            }
        }
    }
}
