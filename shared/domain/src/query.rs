//! A question to the scorer and its answer.

use crate::{Catalog, Invalid, ItemId, Label, ModelVersion, UserId};

/// How many items are asked for: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    /// Most items that one request may ask for.
    pub const MAX: usize = 1_000;

    /// Checks `k`.
    pub fn new(k: usize) -> Result<Self, Invalid> {
        if k == 0 || k > Self::MAX {
            return Err(Invalid::one("", format!("must be 1 to {}, is {k}", Self::MAX)));
        }
        Ok(Self(k))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

/// Which model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The version that a label points to now.
    Label(Label),
    /// One version.
    Version(ModelVersion),
}

/// A checked `Recommend` request.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose history; with `inline` as well, whose user token.
    pub user: Option<UserId>,
    /// Namespace of the stored history; the model's own when absent.
    pub catalog: Option<Catalog>,
    /// Items that take the place of the stored history.
    pub inline: Option<crate::History>,
    /// How many items.
    pub k: TopK,
    /// Leave out everything that the history holds.
    pub exclude_seen: bool,
    /// Leave out these as well.
    pub excluded: Vec<ItemId>,
    /// Who answers.
    pub model: ModelChoice,
}

/// Where an item's score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The language model's item head, alone or for the most part.
    Model,
    /// The light model of a hybrid, for the most part: what others took together.
    CoOccurrence,
    /// Both models of a hybrid.
    Both,
}

/// One item of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// The item.
    pub item: ItemId,
    /// Its title in the served model version; empty when it has none.
    pub title: String,
    /// Inner product of the user state and the item's row; in a hybrid, the weighted sum of both models'
    /// standardised scores.
    pub score: f32,
    /// Where the score comes from.
    pub source: Source,
}

/// What an answer had to do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Degradation {
    /// The user has no row in the served version; the prompt has no user token of their own.
    UnknownUser,
    /// These items of the history are not in the served version's catalogue.
    UnknownItems(usize),
    /// There is no history to go by.
    EmptyHistory,
    /// The prompt holds only the latest part of the history.
    TruncatedHistory,
    /// The store of histories is out of reach; an earlier state of this user was used.
    HistoryStoreUnavailable,
    /// Fewer items than asked for are left.
    FewerThanAsked,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// Best first.
    pub items: Vec<ScoredItem>,
    /// Who served.
    pub version: ModelVersion,
    /// How many items of the history were in the prompt.
    pub history_length: usize,
    /// True when the user state came from a cache.
    pub cached: bool,
    /// What was missing.
    pub degradations: Vec<Degradation>,
}
