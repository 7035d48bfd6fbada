//! The words of each item: of its title, categories and attributes, its
//! descriptions, and the reviews that training may see.

use std::collections::HashSet;
use std::path::Path;

use dataset::{Dataset, Text, TextKind};
use domain::TrainSpec;
use model::{CountedWords, WordCounter};

use crate::contract::progress::Progress;
use crate::error::Error;

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
    ) -> Result<CountedWords, Error> {
        let items = &self.dataset.items;
        if !spec.reads_texts() {
            return Ok(CountedWords::none(items.len()));
        }
        let mut words = WordCounter::new(items.len());
        for (row, item) in (0u32..).zip(items) {
            words.add_item(row, item);
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
