//! The one form that a job trains on: checked, immutable, with row numbers of
//! its own.
//!
//! `numbering` makes one of what was imported; `files` writes it to a folder
//! and reads it back.

use domain::{Catalog, Item, N_TEXT_STEPS, TEXT_STEP, UserId};
use serde::{Deserialize, Serialize};

/// Which part of the data an interaction belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Split {
    /// Training learns from it.
    Train = 0,
    /// Validation chooses among models by it.
    Valid = 1,
    /// The test measures the chosen model on it.
    Test = 2,
}

/// What a text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// A user wrote it about an item.
    Review,
    /// It describes an item.
    Description,
    /// It describes a user.
    Biography,
}

/// A text for the content LM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What the text is about.
    pub kind: TextKind,
    /// Row of the user it is about; absent in a description.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<u32>,
    /// Row of the item it is about; absent in a biography.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<u32>,
    /// The words themselves, as they were read.
    pub text: String,
}

/// What a data set is, beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the file layout.
    pub format: u32,
    /// What people call it.
    pub name: String,
    /// Namespace of the item ids and histories.
    pub catalog: Catalog,
    /// Number of users with an interaction.
    pub n_users: usize,
    /// Number of items in the catalogue.
    pub n_items: usize,
    /// Number of interactions in all three parts.
    pub n_interactions: usize,
    /// Number of interactions to learn from.
    pub n_train: usize,
    /// Number of interactions for validation.
    pub n_valid: usize,
    /// Number of interactions for the test.
    pub n_test: usize,
    /// Number of reviews, descriptions and biographies.
    pub n_texts: usize,
    /// Number of items with a title.
    pub n_titles: usize,
    /// Texts and titles counted by length, as [`domain::Counts`] says.
    #[serde(default)]
    pub text_lengths: Vec<usize>,
}

/// The version of the file layout that is written and read.
pub(crate) const FORMAT: u32 = 1;

/// Interactions in columns, ordered by (user, time, item).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interactions {
    /// Row of each interaction's user.
    pub users: Vec<u32>,
    /// Row of each interaction's item.
    pub items: Vec<u32>,
    /// When each happened, in milliseconds since 1970-01-01 UTC.
    pub at_ms: Vec<i64>,
    /// Which part of the data each belongs to.
    pub splits: Vec<Split>,
}

/// A data set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name, catalogue and counts.
    pub manifest: Manifest,
    /// External user ids by row, ascending.
    pub users: Vec<UserId>,
    /// Items by row, ascending by id.
    pub items: Vec<Item>,
    /// Who interacted with what, and when.
    pub interactions: Interactions,
    /// Texts in the order they were read.
    pub texts: Vec<Text>,
}

/// The rows of a data set that has no manifest yet.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) users: Vec<UserId>,
    pub(crate) items: Vec<Item>,
    pub(crate) interactions: Interactions,
    pub(crate) texts: Vec<Text>,
}

impl Dataset {
    /// Names the rows and counts them.
    pub(crate) fn new(name: String, catalog: Catalog, rows: Rows) -> Self {
        let n_titles = rows.items.iter().filter(|item| has_title(item)).count();
        let manifest = Manifest {
            format: FORMAT,
            name,
            catalog,
            n_users: rows.users.len(),
            n_items: rows.items.len(),
            n_interactions: rows.interactions.users.len(),
            n_train: rows.interactions.n_in(Split::Train),
            n_valid: rows.interactions.n_in(Split::Valid),
            n_test: rows.interactions.n_in(Split::Test),
            n_texts: rows.texts.len(),
            n_titles,
            text_lengths: text_lengths(&rows),
        };
        Self {
            manifest,
            users: rows.users,
            items: rows.items,
            interactions: rows.interactions,
            texts: rows.texts,
        }
    }

    /// Gives each interaction that an earlier data set has the split that it
    /// has there; returns how many these are. So what was held out once is never
    /// learned from later.
    pub(crate) fn keep_splits(&mut self, earlier: &Self) -> usize {
        let known = SplitsOf::new(earlier);
        let mut n_kept = 0;
        for place in 0..self.interactions.users.len() {
            let user = &self.users[self.interactions.users[place] as usize];
            let item = &self.items[self.interactions.items[place] as usize];
            if let Some(split) = known.split(user, item.id.as_str()) {
                self.interactions.splits[place] = split;
                n_kept += 1;
            }
        }
        self.count_splits();
        n_kept
    }

    /// Learns from each held-out interaction that an earlier data set has in
    /// one of some splits, and from each of the test split that was for
    /// validation there: what a model has learned from or was chosen by cannot
    /// measure it. Returns how many these are.
    pub fn learn_from(&mut self, earlier: &Self, splits: &[Split]) -> usize {
        let known = SplitsOf::new(earlier);
        let mut n_moved = 0;
        for place in 0..self.interactions.users.len() {
            let own = self.interactions.splits[place];
            if own == Split::Train {
                continue;
            }
            let user = &self.users[self.interactions.users[place] as usize];
            let item = &self.items[self.interactions.items[place] as usize];
            let Some(split) = known.split(user, item.id.as_str()) else {
                continue;
            };
            let has_chosen = split == Split::Valid && own == Split::Test;
            if has_chosen || splits.contains(&split) {
                self.interactions.splits[place] = Split::Train;
                n_moved += 1;
            }
        }
        self.count_splits();
        n_moved
    }

    fn count_splits(&mut self) {
        let rows = &self.interactions;
        self.manifest.n_train = rows.n_in(Split::Train);
        self.manifest.n_valid = rows.n_in(Split::Valid);
        self.manifest.n_test = rows.n_in(Split::Test);
    }

    /// Each user's item rows of one split, in prompt order: ascending (time,
    /// external item id).
    pub fn histories(&self, split: Split) -> Vec<Vec<u32>> {
        let rows = &self.interactions;
        let mut histories = vec![Vec::new(); self.users.len()];
        for (place, &row_split) in rows.splits.iter().enumerate() {
            if row_split == split {
                let user = rows.users[place] as usize;
                histories[user].push(rows.items[place]);
            }
        }
        histories
    }
}

/// Finds the split of an interaction by its ids.
struct SplitsOf<'a> {
    dataset: &'a Dataset,
    /// The first interaction of each user, and behind the last user the number
    /// of all: interactions are ordered by user.
    starts: Vec<usize>,
}

impl<'a> SplitsOf<'a> {
    fn new(dataset: &'a Dataset) -> Self {
        let rows = &dataset.interactions.users;
        let mut starts = Vec::with_capacity(dataset.users.len() + 1);
        for user in 0..=dataset.users.len() {
            starts.push(rows.partition_point(|&row| (row as usize) < user));
        }
        Self { dataset, starts }
    }

    /// The split of an interaction; `None` where the data set does not have it.
    fn split(&self, user: &UserId, item: &str) -> Option<Split> {
        let user = self.dataset.users.binary_search(user).ok()?;
        let items = &self.dataset.items;
        let item = items.binary_search_by(|other| other.id.as_str().cmp(item));
        let item = item.ok()?;
        let rows = &self.dataset.interactions;
        let mut places = self.starts[user]..self.starts[user + 1];
        let place = places.find(|&place| rows.items[place] as usize == item)?;
        Some(rows.splits[place])
    }
}

impl Interactions {
    fn n_in(&self, split: Split) -> usize {
        self.splits.iter().filter(|&&other| other == split).count()
    }
}

fn has_title(item: &Item) -> bool {
    !item.title.is_empty()
}

/// Titles and texts counted by their length in bytes.
fn text_lengths(rows: &Rows) -> Vec<usize> {
    let mut counts = vec![0; N_TEXT_STEPS];
    for item in rows.items.iter().filter(|item| has_title(item)) {
        counts[length_step(&item.title)] += 1;
    }
    for text in &rows.texts {
        counts[length_step(&text.text)] += 1;
    }
    counts
}

fn length_step(text: &str) -> usize {
    (text.len() / TEXT_STEP).min(N_TEXT_STEPS - 1)
}
