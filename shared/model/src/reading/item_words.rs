//! What items' texts say, as rows of weighted words: TF-IDF of length one
//! (Salton and Buckley, "Term-weighting approaches in automatic text
//! retrieval", 1988). The inner product of two rows, their cosine, says how
//! alike two texts are.

use faer::Mat;
use rayon::prelude::*;

use crate::reading::words::{Counted, CountedWords};

/// A word that more than this share of all items have tells none apart.
const MOST_ITEMS: f64 = 0.3;
/// A word that at most so many items have counts, however small the catalogue
/// is.
const FEW_ITEMS: f64 = 20.0;

/// How much it says that an item has a word that `n_with` of all items have;
/// 0 where only one has it, or so many that it tells none apart.
pub(crate) fn rarity(n_with: u32, n_items: usize) -> f64 {
    let n_with = f64::from(n_with);
    let most = FEW_ITEMS.max(MOST_ITEMS * n_items as f64);
    if n_with <= 1.0 || n_with > most {
        return 0.0;
    }
    (n_items as f64 / n_with).ln()
}

/// How much a word counts that a text has so many times, before texts are
/// scaled to the same length.
pub(crate) fn weight(count: u32, rarity: f64) -> f64 {
    (1.0 + f64::from(count).ln()) * rarity
}

/// A word of an item and how much it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weighted {
    pub(crate) word: u32,
    pub(crate) weight: f64,
}

/// An item that has a word, and how much the word counts there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InItem {
    pub(crate) item: u32,
    pub(crate) weight: f64,
}

/// The words that count, their weights scaled to a Euclidean length of one.
pub(crate) fn weighted(counts: &[Counted], rarities: &[f64]) -> Vec<Weighted> {
    let mut row = Vec::new();
    for &Counted { word, count } in counts {
        let rarity = rarities[word as usize];
        if rarity > 0.0 {
            let weight = weight(count, rarity);
            row.push(Weighted { word, weight });
        }
    }
    let squares = row.iter().map(|weighted| weighted.weight.powi(2));
    let length = squares.sum::<f64>().sqrt();
    for weighted in &mut row {
        weighted.weight /= length;
    }
    row
}

/// Each item's words with their weights; none for an item whose texts say
/// nothing that another item's say too.
#[derive(Debug, Clone, Default)]
pub struct ItemWords {
    rows: Vec<Vec<Weighted>>,
    n_words: usize,
}

impl ItemWords {
    /// Weighs the words of a catalogue.
    pub fn of(counted: &CountedWords) -> Self {
        let n_items = counted.rows.len();
        let n_with = counted.items_with_each().into_iter();
        let rarities = n_with.map(|n| rarity(n, n_items));
        let rarities: Vec<f64> = rarities.collect();
        let rows = counted.rows.iter();
        Self {
            rows: rows.map(|row| weighted(row, &rarities)).collect(),
            n_words: rarities.len(),
        }
    }

    /// Rows without words, for a catalogue whose texts are not read.
    pub fn none(n_items: usize) -> Self {
        Self {
            rows: vec![Vec::new(); n_items],
            n_words: 0,
        }
    }

    /// How many items there are, J.
    pub fn n_items(&self) -> usize {
        self.rows.len()
    }

    /// True when no item has a word.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(Vec::is_empty)
    }

    /// True when an item's text says something.
    pub fn has_text(&self, item: u32) -> bool {
        !self.rows[item as usize].is_empty()
    }

    /// The items that have each word, with its weight in each.
    pub(crate) fn items_with(&self) -> Vec<Vec<InItem>> {
        let all: Vec<u32> = (0..self.rows.len() as u32).collect();
        self.places_with(&all)
    }

    /// The places of those of some items that have each word, with its weight
    /// in each.
    fn places_with(&self, items: &[u32]) -> Vec<Vec<InItem>> {
        let mut places_with = vec![Vec::new(); self.n_words];
        for (place, &item) in (0u32..).zip(items) {
            for &Weighted { word, weight } in &self.rows[item as usize] {
                places_with[word as usize].push(InItem {
                    item: place,
                    weight,
                });
            }
        }
        places_with
    }

    /// The cosines of the texts of some items with those of others
    /// `[items, others]`.
    pub(crate) fn cosines_between(
        &self,
        items: &[u32],
        others: &[u32],
    ) -> Mat<f64> {
        let places_with = self.places_with(items);
        let mut cosines = Mat::zeros(items.len(), others.len());
        for (column, &other) in others.iter().enumerate() {
            let mut column = cosines.col_mut(column);
            for own in &self.rows[other as usize] {
                for with in &places_with[own.word as usize] {
                    column[with.item as usize] += own.weight * with.weight;
                }
            }
        }
        cosines
    }

    /// The cosines of all pairs of items.
    pub fn cosines(&self) -> Cosines {
        let n_items = self.rows.len();
        let items_with = self.items_with();
        let mut values = vec![0.0f32; n_items * n_items];
        let rows = values.par_chunks_mut(n_items.max(1)).zip(&self.rows);
        rows.for_each(|(cosines, row)| {
            for own in row {
                for other in &items_with[own.word as usize] {
                    let product = own.weight * other.weight;
                    cosines[other.item as usize] += product as f32;
                }
            }
        });
        Cosines { n_items, values }
    }
}

/// How alike the texts of each pair of items are, from 0 to 1; 0 for an item
/// without a text.
#[derive(Debug)]
pub struct Cosines {
    n_items: usize,
    /// All pairs `[items, items]`, row-major.
    values: Vec<f32>,
}

impl Cosines {
    /// Adds the cosines, times a strength, to a matrix `[items, items]`.
    pub(crate) fn add_to(&self, gram: &mut Mat<f64>, strength: f64) {
        for (column, cosines) in
            self.values.chunks_exact(self.n_items).enumerate()
        {
            // The matrix is column-major, the cosines are symmetric.
            let entries = gram.col_mut(column).iter_mut().zip(cosines);
            for (entry, cosine) in entries {
                *entry += strength * f64::from(*cosine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::words::WordCounter;

    fn words(texts: &[&str]) -> ItemWords {
        let mut counter = WordCounter::new(texts.len());
        for (item, text) in (0..).zip(texts) {
            counter.add_text(item, text);
        }
        ItemWords::of(&counter.finish())
    }

    fn cosine(cosines: &Cosines, a: usize, b: usize) -> f32 {
        cosines.values[a * cosines.n_items + b]
    }

    /// Ten items: two guitars, two drums, six others.
    fn instruments() -> ItemWords {
        words(&[
            "Steel GUITAR strings",
            "guitar strings, nylon",
            "snare drum",
            "drum sticks",
            "one",
            "two",
            "three",
            "four",
            "five",
            "",
        ])
    }

    #[test]
    fn texts_with_the_same_words_are_alike_and_others_are_not() {
        let cosines = instruments().cosines();
        assert!((cosine(&cosines, 0, 1) - 1.0).abs() < 1e-6, "shared words");
        assert!((cosine(&cosines, 2, 3) - 1.0).abs() < 1e-6);
        assert_eq!(cosine(&cosines, 0, 2), 0.0);
        assert_eq!(cosine(&cosines, 4, 4), 0.0, "a word of its own alone");
    }

    #[test]
    fn a_word_of_one_item_or_of_most_tells_nothing() {
        let mut texts = vec!["common"; 60];
        texts[0] = "common pair";
        texts[1] = "common pair";
        texts[2] = "common alone";
        let words = words(&texts);
        assert!(words.has_text(0) && words.has_text(1));
        assert!((2..60).all(|item| !words.has_text(item)));
        assert!(ItemWords::none(3).is_empty() && !words.is_empty());
    }

    #[test]
    fn half_of_a_small_catalogue_may_have_a_word() {
        let mut texts = vec!["space ship"; 20];
        texts.extend(["garden"; 20]);
        let cosines = words(&texts).cosines();
        assert!(cosine(&cosines, 0, 19) > 0.9);
        assert_eq!(cosine(&cosines, 0, 20), 0.0);
    }
}
