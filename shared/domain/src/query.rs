//! A question to the scorer, checked.

use std::time::Duration;

use crate::field::Invalid;
use crate::history::History;
use crate::ids::{Catalog, ItemId, Label, ModelVersion, UserId};
use crate::item::Item;

/// How many items are asked for: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    /// Most items that one request may ask for.
    pub const MAX: usize = 1_000;

    /// Refuses a number that is not 1 to [`TopK::MAX`].
    pub fn new(k: usize) -> Result<Self, Invalid> {
        if k == 0 || k > Self::MAX {
            let reason = format!("must be 1 to {}, is {k}", Self::MAX);
            return Err(Invalid::one("", reason));
        }

        Ok(Self(k))
    }

    /// Gives the number back.
    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for TopK {
    /// What a request gets when it does not say.
    fn default() -> Self {
        Self(10)
    }
}

/// Says which model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// The version that a label points to now.
    Label(Label),
    /// This version, whatever the labels say.
    Version(ModelVersion),
}

impl ModelChoice {
    /// Chooses the model where a request names none.
    pub fn live() -> Self {
        Self::Label(Label::live())
    }
}

impl Default for ModelChoice {
    fn default() -> Self {
        Self::live()
    }
}

/// What a history that comes with a request is for.
#[derive(Debug, Clone, Default)]
pub enum Inline {
    /// There is no such history: the stored history counts.
    #[default]
    Absent,
    /// It takes the place of the stored one.
    Instead(History),
    /// It joins the stored one.
    Beside(History),
}

/// Whose list it is: what the user state is made from.
#[derive(Debug, Clone, Default)]
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
    /// The model that answers.
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
    /// The version that served the first page.
    pub version: ModelVersion,
    /// When the latest interaction of the history was: what happened later does
    /// not count.
    pub at_ms: i64,
    /// How many items come before this page.
    pub offset: usize,
}

impl Page {
    /// Last item that can be reached page by page: a bound on what one request
    /// ranks.
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

/// What somebody looks for, in their own words.
#[derive(Debug, Clone, PartialEq)]
pub struct TextQuery {
    /// The words; not empty.
    pub text: String,
    /// How much they count beside what is known of the reader, 0 to 1.
    pub weight: f64,
}

impl TextQuery {
    /// How much the words count where a request does not say: with more or
    /// less, the item that a review's first sentence is about is found less
    /// often (docs/quality.md).
    pub const WEIGHT: f64 = 0.6;
}

/// An item that came after training, and is ranked by its text.
#[derive(Debug, Clone, PartialEq)]
pub struct NewItem {
    /// What it is; an item of the catalogue keeps its own row.
    pub item: Item,
    /// What is said of it.
    pub description: String,
}

/// A checked `Recommend` request.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose list it is.
    pub reader: Reader,
    /// What they look for, where they say it.
    pub text_query: Option<TextQuery>,
    /// Items beside those of the catalogue.
    pub new_items: Vec<NewItem>,
    /// How many items are wanted.
    pub k: TopK,
    /// The first page when absent.
    pub page: Option<Page>,
    /// Which items may be in the list.
    pub allowed: Allowed,
    /// Say which items of the history moved each score.
    pub explain: bool,
}

impl Query {
    /// Counts the item ids that came with the request: what its size in memory
    /// is made of.
    pub fn n_ids(&self) -> usize {
        let n_inline = match &self.reader.inline {
            Inline::Absent => 0,
            Inline::Instead(history) | Inline::Beside(history) => {
                history.interactions().len()
            }
        };

        n_inline
            + self.allowed.excluded.len()
            + self.allowed.candidates.as_ref().map_or(0, Vec::len)
            + self.new_items.len()
    }
}

/// A checked `ScoreItems` request.
#[derive(Debug, Clone)]
pub struct ScoreQuery {
    /// For whom the items are scored.
    pub reader: Reader,
    /// The items to score, in the order of the answer.
    pub items: Vec<ItemId>,
    /// Items beside those of the catalogue; their scores come last.
    pub new_items: Vec<NewItem>,
}

/// What items are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Likeness {
    /// The items are compared with another item.
    Item(ItemId),
    /// The items are compared with a text.
    Text(String),
}

/// Asks for what a version knows of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemQuery {
    /// The item.
    pub item: ItemId,
    /// The model that answers.
    pub model: ModelChoice,
}

/// A checked `SimilarItems` request.
#[derive(Debug, Clone)]
pub struct SimilarQuery {
    /// What the items are compared with.
    pub to: Likeness,
    /// How many items are wanted.
    pub k: TopK,
    /// Only those for which this expression holds; all when empty.
    pub filter: String,
    /// The model that answers.
    pub model: ModelChoice,
}
