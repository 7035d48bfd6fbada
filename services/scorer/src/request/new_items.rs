//! Items that came after a version was trained, as it reads their texts.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{Allowed, Degradation, Item, ItemId, NewItem};
use model::{KnownWords, UserState};

use crate::error::Error;
use crate::request::filter::ItemFilter;
use crate::request::search::off_the_async_threads;
use crate::versions::loaded::LoadedModel;

/// The new items of a request, without those that the version knows already.
#[derive(Debug, Default)]
pub(crate) struct ReadItems {
    items: Vec<ReadItem>,
    /// How many of them have a text without a word that the version knows.
    n_unreadable: usize,
}

/// A new item as a version reads it.
#[derive(Debug)]
pub(crate) struct ReadItem {
    pub(crate) item: Item,
    pub(crate) words: KnownWords,
    /// The row that its text gives it `[embed]`; the mean item's where the text
    /// says nothing.
    pub(crate) row: Vec<f32>,
}

impl ReadItems {
    /// Reads the texts.
    pub(crate) async fn read(
        items: Vec<NewItem>,
        model: &Arc<LoadedModel>,
    ) -> Result<Self, Error> {
        if items.is_empty() {
            return Ok(Self::default());
        }
        let model = Arc::clone(model);
        off_the_async_threads(move || read(items, &model)).await?
    }

    /// Leaves those that a list may not have: what was excluded, what was seen,
    /// what does not pass the filter.
    pub(super) fn retain_allowed(
        &mut self,
        allowed: &Allowed,
        seen: &[ItemId],
    ) -> Result<(), Error> {
        if self.items.is_empty() {
            return Ok(());
        }
        let mut without: HashSet<&ItemId> = allowed.excluded.iter().collect();
        if allowed.exclude_seen {
            without.extend(seen);
        }
        self.items.retain(|read| !without.contains(&read.item.id));
        if allowed.filter.is_empty() {
            return Ok(());
        }
        let filter = ItemFilter::new(&allowed.filter)?;
        let mut passing = Vec::with_capacity(self.items.len());
        for read in self.items.drain(..) {
            if filter.holds_for(&read.item)? {
                passing.push(read);
            }
        }
        self.items = passing;
        Ok(())
    }
}

impl ReadItems {
    /// What was missing, if anything.
    pub(super) fn degradation(&self) -> Option<Degradation> {
        let n = self.n_unreadable;
        (n > 0).then_some(Degradation::UnreadableItems(n))
    }

    /// The items with the language model's scores for a user.
    pub(super) fn scored(self, state: &UserState) -> Vec<ScoredNewItem> {
        let mut scored = Vec::with_capacity(self.items.len());
        for read in self.items {
            let language_score = state.score(&read.row);
            scored.push(ScoredNewItem {
                read,
                language_score,
            });
        }
        scored
    }
}

fn read(items: Vec<NewItem>, model: &LoadedModel) -> Result<ReadItems, Error> {
    let texts = model.texts()?;
    let mut read = ReadItems::default();
    for NewItem { item, description } in items {
        if model.item_row(&item.id).is_some() {
            continue;
        }
        let words = texts.words_of_item(&item, &description);
        let row = match texts.row(&words) {
            Some(row) => row,
            None => {
                read.n_unreadable += 1;
                texts.mean_row()
            }
        };
        read.items.push(ReadItem { item, words, row });
    }
    Ok(read)
}

/// A new item and the language model's score of it for a user.
#[derive(Debug)]
pub(crate) struct ScoredNewItem {
    pub(crate) read: ReadItem,
    pub(crate) language_score: f32,
}
