//! The texts of items as rows of numbers.

use std::collections::HashMap;

use faer::Mat;

use crate::backbone::decoder::Backbone;
use crate::tokens::prompt::{Document, Token};
use crate::tokens::table::Table;
use crate::tokens::words::word_rows;

/// The distinct words of each item's documents, ascending; none for items
/// without one.
pub(super) fn words_of_items<E>(
    documents: impl Iterator<Item = Result<Document, E>>,
    n_items: usize,
) -> Result<Vec<Vec<u32>>, E> {
    let mut words_of: Vec<Vec<u32>> = vec![Vec::new(); n_items];
    for document in documents {
        let document = document?;
        let about = document.prompt.iter().find_map(|token| token.item());
        if let Some(item) = about {
            let words = document.main.iter().copied().filter_map(Token::word);
            words_of[item as usize].extend(words);
        }
    }

    for words in &mut words_of {
        words.sort_unstable();
        words.dedup();
    }
    Ok(words_of)
}

/// Each item's text as one row; absent for items without one.
pub(super) struct TextRows {
    rows: Vec<Option<Vec<f64>>>,
}

impl TextRows {
    /// Makes a row of each item's words.
    pub(super) fn new(
        backbone: &Backbone,
        mut words_of: Vec<Vec<u32>>,
    ) -> Self {
        let n_with = shared_words(&words_of);
        for words in &mut words_of {
            words.retain(|word| n_with.contains_key(word));
        }
        let texts = words_of.iter().filter(|words| !words.is_empty());
        let n_texts = texts.count();

        let weighted = WeightedWords::new(backbone, &n_with, n_texts);
        let mut rows = Vec::with_capacity(words_of.len());
        for words in &words_of {
            rows.push((!words.is_empty()).then(|| weighted.mean(words)));
        }
        center(&mut rows, weighted.embeddings.width());
        Self { rows }
    }

    /// The items that have a text.
    pub(super) fn items(&self) -> impl Iterator<Item = u32> + '_ {
        let rows = (0u32..).zip(&self.rows);
        rows.filter(|(_, row)| row.is_some()).map(|(item, _)| item)
    }

    fn row(&self, item: u32) -> &[f64] {
        self.rows[item as usize].as_deref().unwrap_or_default()
    }

    /// The rows of some items `[items, width]`.
    pub(super) fn matrix(&self, items: &[u32]) -> Mat<f64> {
        let width = self.row(items[0]).len();
        Mat::from_fn(items.len(), width, |row, column| {
            self.row(items[row])[column]
        })
    }
}

/// How many items have each word, of the words that several items have: a word
/// of one item tells nothing about another.
fn shared_words(words_of: &[Vec<u32>]) -> HashMap<u32, usize> {
    let mut n_with: HashMap<u32, usize> = HashMap::new();
    for word in words_of.iter().flatten() {
        *n_with.entry(*word).or_default() += 1;
    }
    n_with.retain(|_, n| *n > 1);
    n_with
}

/// The embeddings of words, and how much each counts.
struct WeightedWords {
    /// The words, ascending.
    words: Vec<u32>,
    /// The embedding of each `[words, width]`.
    embeddings: Table,
    /// The logarithm of texts over texts with the word, for each.
    rarities: Vec<f64>,
}

impl WeightedWords {
    fn new(
        backbone: &Backbone,
        n_with: &HashMap<u32, usize>,
        n_texts: usize,
    ) -> Self {
        let mut words: Vec<u32> = n_with.keys().copied().collect();
        words.sort_unstable();
        let rarities = words.iter().map(|word| {
            let n = n_with[word] as f64;
            (n_texts as f64 / n).ln()
        });
        Self {
            rarities: rarities.collect(),
            embeddings: word_rows(backbone, &words),
            words,
        }
    }

    /// The weighted mean of some words' embeddings `[width]`.
    fn mean(&self, of: &[u32]) -> Vec<f64> {
        let mut row = vec![0.0; self.embeddings.width()];
        for word in of {
            let place = self.words.binary_search(word);
            let place = place.expect("every word was counted");
            let weight = self.rarities[place] / of.len() as f64;
            let embedding = self.embeddings.row(place as u32);
            for (sum, &entry) in row.iter_mut().zip(&*embedding) {
                *sum += weight * f64::from(entry);
            }
        }
        row
    }
}

/// Takes the mean of all rows off each of them.
fn center(rows: &mut [Option<Vec<f64>>], width: usize) {
    let n_texts = rows.iter().flatten().count();
    let mut mean = vec![0.0; width];
    for row in rows.iter().flatten() {
        for (sum, entry) in mean.iter_mut().zip(row) {
            *sum += entry / n_texts as f64;
        }
    }

    for row in rows.iter_mut().flatten() {
        for (entry, mean) in row.iter_mut().zip(&mean) {
            *entry -= mean;
        }
    }
}
