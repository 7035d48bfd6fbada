//! Items that came after a version was trained, as it reads their texts.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{Degradation, Item, ItemId, NewItem, Query};
use model::{KnownWords, UserState};

use crate::error::Error;
use crate::request::filter::ItemFilter;
use crate::request::recommend::Recommender;
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

/// A new item and the language model's score of it for a user.
#[derive(Debug)]
pub(crate) struct ScoredNewItem {
    pub(crate) read: ReadItem,
    pub(crate) language_score: f32,
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

/// New items, and which of them a list may not have.
#[derive(Debug, Default)]
pub(crate) struct NewItems {
    pub(super) items: Vec<NewItem>,
    /// What was excluded, or seen.
    pub(super) without: HashSet<ItemId>,
    /// Only those for which this holds; all when empty.
    pub(super) filter: String,
}

impl NewItems {
    /// The new items of a request that its list may have.
    pub(super) fn of(query: &Query, unknown_of_history: &[ItemId]) -> Self {
        if query.new_items.is_empty() {
            return Self::default();
        }
        let allowed = &query.allowed;
        let mut without: HashSet<ItemId> =
            allowed.excluded.iter().cloned().collect();
        if allowed.exclude_seen {
            without.extend(unknown_of_history.iter().cloned());
        }
        Self {
            items: query.new_items.clone(),
            without,
            filter: allowed.filter.clone(),
        }
    }

    /// Reads the texts of those that the version does not know and that are
    /// allowed.
    fn read(self, model: &LoadedModel) -> Result<ReadItems, Error> {
        let texts = model.texts()?;
        let filter = match &*self.filter {
            "" => None,
            filter => Some(ItemFilter::new(filter)?),
        };
        let mut read = ReadItems::default();
        for NewItem { item, description } in self.items {
            let is_known = model.item_row(&item.id).is_some();
            if is_known || self.without.contains(&item.id) {
                continue;
            }
            if let Some(filter) = &filter
                && !filter.holds_for(&item)?
            {
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
}

impl Recommender {
    /// New items as a version reads them.
    pub(super) async fn read_new_items(
        &self,
        new: NewItems,
        model: &Arc<LoadedModel>,
    ) -> Result<ReadItems, Error> {
        if new.items.is_empty() {
            return Ok(ReadItems::default());
        }
        let model = Arc::clone(model);
        self.texts.run(move || new.read(&model)).await?
    }
}
