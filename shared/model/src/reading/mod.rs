//! What texts say of items: which words each item has, how alike that makes
//! two of them, and the row that a text's item would have.
//!
//! Training reads the texts of a data set; a scorer reads what it is asked for
//! with the words and the map that training left.

/// Which words each item's texts have, and how often.
pub(crate) mod words;

/// How much each word counts, and how alike two items' texts are.
pub(crate) mod item_words;

/// The map from texts to item rows.
pub(crate) mod text_map;

/// Rows of items that nobody has interacted with.
pub(crate) mod cold;

/// The items whose texts have the words that are looked for.
pub(crate) mod search;

/// The words and the map of a trained model: reads texts that came later.
pub(crate) mod text_reader;
