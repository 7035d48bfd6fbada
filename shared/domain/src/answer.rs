//! What the scorer answers to a question.

use crate::ids::{ItemId, ModelVersion};
use crate::query::Page;

/// Where an item's score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The language model's item head, alone or for the most part.
    Model,
    /// The light model of a hybrid, for the most part: what others took
    /// together.
    CoOccurrence,
    /// Both models of a hybrid.
    Both,
    /// Nobody had interacted with the item: its texts.
    ColdStart,
    /// There is nothing to go by: what most others took.
    Popularity,
    /// The words that the reader looks for, for the most part.
    Query,
}

/// An item of the history and what it added to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The item of the history.
    pub item: ItemId,
    /// Its title; empty when it has none.
    pub title: String,
    /// What it added to the score.
    pub contribution: f32,
}

/// One item of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// The item that is recommended.
    pub item: ItemId,
    /// Its title in the served model version; empty when it has none.
    pub title: String,
    /// Inner product of the user state and the item's row; in a hybrid, the
    /// weighted sum of both models' standardised scores.
    pub score: f32,
    /// Where the score comes from.
    pub source: Source,
    /// What the words that the reader looks for added to the score.
    pub query_contribution: f32,
    /// What moved it, where that was asked for.
    pub reasons: Vec<Reason>,
}

/// What an answer had to do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Degradation {
    /// The user has no row in the served version; the prompt has no user token
    /// of their own.
    UnknownUser,
    /// These items of the history are not in the served version's catalogue.
    UnknownItems(usize),
    /// There is no history to go by.
    EmptyHistory,
    /// The prompt holds only the latest part of the history.
    TruncatedHistory,
    /// The store of histories is out of reach; an earlier state of this user
    /// was used.
    HistoryStoreUnavailable,
    /// Fewer items than asked for are left.
    FewerThanAsked,
    /// This many items that do not pass the filter follow those that do.
    FilterRelaxed(usize),
    /// The history was read before the request.
    StaleHistory,
    /// These candidates are not in the served version's catalogue.
    UnknownCandidates(usize),
    /// The served version knows no word of what the reader looks for.
    UnknownWords,
    /// The served version knows no word of these new items: they are ranked as
    /// the average item.
    UnreadableItems(usize),
}

/// The answer to a [`crate::Query`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// The items, best first.
    pub items: Vec<ScoredItem>,
    /// Where the first of them is in the whole list, from 0.
    pub offset: usize,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Page>,
    /// The version that served.
    pub version: ModelVersion,
    /// How many items of the history were in the prompt.
    pub history_length: usize,
    /// True when the user state came from a cache.
    pub cached: bool,
    /// How many items' scores were computed.
    pub n_scored: usize,
    /// What the answer had to do without.
    pub degradations: Vec<Degradation>,
}

/// The answer to a [`crate::ScoreQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct ItemScores {
    /// The score of each item asked for; `None` for one that the version does
    /// not know.
    pub scores: Vec<(ItemId, Option<f32>)>,
    /// The version that served.
    pub version: ModelVersion,
    /// What the answer had to do without.
    pub degradations: Vec<Degradation>,
}
