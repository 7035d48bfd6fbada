//! A question to the scorer and its answer.

use std::time::Duration;

use crate::{Catalog, History, Invalid, ItemId, Label, ModelVersion, UserId};

/// How many items are asked for: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    /// Most items that one request may ask for.
    pub const MAX: usize = 1_000;

    /// Checks `k`.
    pub fn new(k: usize) -> Result<Self, Invalid> {
        if k == 0 || k > Self::MAX {
            return Err(Invalid::one(
                "",
                format!("must be 1 to {}, is {k}", Self::MAX),
            ));
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

impl ModelChoice {
    /// Who answers where nobody is named.
    pub fn live() -> Self {
        Self::Label(Label::live())
    }
}

/// What a history that comes with a request is for.
#[derive(Debug, Clone)]
pub enum Inline {
    /// There is none: the stored history counts.
    Absent,
    /// It takes the place of the stored one.
    Instead(History),
    /// It joins the stored one.
    Beside(History),
}

/// Whose list it is: what the user state is made from.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Whose stored history and user token.
    pub user: Option<UserId>,
    /// Namespace of the stored history; the model's own when absent.
    pub catalog: Option<Catalog>,
    /// A history that came with the request.
    pub inline: Inline,
    /// Only what happened until then counts; now when absent.
    pub at_ms: Option<i64>,
    /// How old the history may be that is used without asking the store.
    pub max_staleness: Duration,
    /// Who answers.
    pub model: ModelChoice,
}

/// Which items may be in a list.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Leave out everything that the history holds.
    pub exclude_seen: bool,
    /// Leave out these as well.
    pub excluded: Vec<ItemId>,
    /// Only these; all when absent.
    pub candidates: Option<Vec<ItemId>>,
    /// Only those for which this expression holds; all when empty.
    pub filter: String,
    /// Go on with others when too few pass the filter.
    pub relax_filter: bool,
}

/// A place in a list that was begun by another request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Who served the first page.
    pub version: ModelVersion,
    /// When the latest interaction of the history was: what happened later does not count.
    pub at_ms: i64,
    /// Items before this page.
    pub offset: usize,
}

impl Page {
    /// Last item that can be reached page by page: a bound on what one request ranks.
    pub const LAST: usize = 10_000;
}

/// Who goes first when requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for it.
    Interactive,
    /// After all interactive ones.
    Batch,
}

/// A checked `Recommend` request.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose list.
    pub reader: Reader,
    /// How many items.
    pub k: TopK,
    /// The first page when absent.
    pub page: Option<Page>,
    /// Tells apart requests whose pages are of different lists.
    pub digest: u64,
    /// Which items.
    pub allowed: Allowed,
    /// Say which items of the history moved each score.
    pub explain: bool,
}

impl Query {
    /// Item ids that came with the request: what its size in memory is made of.
    pub fn n_ids(&self) -> usize {
        let n_inline = match &self.reader.inline {
            Inline::Absent => 0,
            Inline::Instead(history) | Inline::Beside(history) => history.interactions().len(),
        };
        n_inline
            + self.allowed.excluded.len()
            + self.allowed.candidates.as_ref().map_or(0, Vec::len)
    }
}

/// A checked `ScoreItems` request.
#[derive(Debug, Clone)]
pub struct ScoreQuery {
    /// For whom.
    pub reader: Reader,
    /// Which items.
    pub items: Vec<ItemId>,
}

/// A checked `SimilarItems` request.
#[derive(Debug, Clone)]
pub struct SimilarQuery {
    /// To which item.
    pub item: ItemId,
    /// How many items.
    pub k: TopK,
    /// Only those for which this expression holds; all when empty.
    pub filter: String,
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
    /// Nobody had interacted with the item: its texts.
    ColdStart,
    /// There is nothing to go by: what most others took.
    Popularity,
}

/// An item of the history and what it added to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The item.
    pub item: ItemId,
    /// Its title.
    pub title: String,
    /// Added to the score.
    pub contribution: f32,
}

/// One item of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// The item.
    pub item: ItemId,
    /// Its title in the served model version; empty when it has none.
    pub title: String,
    /// Inner product of the user state and the item's row; in a hybrid, the weighted sum of both
    /// models' standardised scores.
    pub score: f32,
    /// Where the score comes from.
    pub source: Source,
    /// What moved it, where that was asked for.
    pub reasons: Vec<Reason>,
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
    /// This many items that do not pass the filter follow those that do.
    FilterRelaxed(usize),
    /// The history was read before the request.
    StaleHistory,
    /// These candidates are not in the served version's catalogue.
    UnknownCandidates(usize),
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// Best first.
    pub items: Vec<ScoredItem>,
    /// Where the first of them is in the whole list, from 0.
    pub offset: usize,
    /// For the next page; `None` when there is none.
    pub next: Option<Page>,
    /// Who served.
    pub version: ModelVersion,
    /// How many items of the history were in the prompt.
    pub history_length: usize,
    /// True when the user state came from a cache.
    pub cached: bool,
    /// Items whose scores were computed.
    pub n_scored: usize,
    /// What was missing.
    pub degradations: Vec<Degradation>,
}

/// The answer to a [`ScoreQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct ItemScores {
    /// Of each item asked for; `None` for one that the version does not know.
    pub scores: Vec<(ItemId, Option<f32>)>,
    /// Who served.
    pub version: ModelVersion,
    /// What was missing.
    pub degradations: Vec<Degradation>,
}
