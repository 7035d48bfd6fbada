//! From a checked query to its answer.

/// ★ `Recommend`: the steps from a query to a page of a list.
pub(crate) mod recommend;

/// Whose list it is, in one version's rows, and their prompt.
pub(crate) mod reader;

/// Which rows may be in a list.
mod allowed;

/// Filters over what is known of an item, as bits.
pub(crate) mod filter;

/// One page of a list, made of the scores on a ranking thread.
mod page;

/// Which items of the history moved a score.
mod explain;

/// `ScoreItems`: scores of given items.
mod score;

/// `SimilarItems`: the items whose rows are most alike.
mod similar;

/// `GetItem` and `ListFields`: what a version knows of its catalogue.
pub(crate) mod catalogue;

/// What a text finds in a catalogue.
pub(crate) mod search;

/// Items that came after training.
pub(crate) mod new_items;

/// What a request leaves to be done after it.
pub(crate) mod follow_up;
