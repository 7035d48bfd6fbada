//! Rows for items that nobody has interacted with yet, from their texts: what
//! the rows of the items with similar texts have in common.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::light::item_words::ItemWords;
use crate::tokens::table::Table;

/// The strengths of the ridge that are tried; a text's cosine with itself is 1.
const STRENGTHS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// One warm item in so many is held out to choose the strength.
const HELD_OUT_ONE_IN: usize = 5;
/// The most warm items that are learned from, evenly chosen: every pair of them
/// is compared.
const MOST_WARM: usize = 10_000;

/// Overwrites the rows of the `cold` items that have a text; returns how many
/// that are. Without a warm item that has a text nothing is learned and nothing
/// changes.
///
/// A row is what kernel ridge regression from the cosines of the texts to the
/// warm items' rows, less their mean, gives; the mean added, it is scaled to the
/// mean length of the learned rows.
pub fn rows_from_texts(
    words: &ItemWords,
    items: &mut Table,
    cold: &[u32],
) -> usize {
    let mut told = Vec::new();
    let mut warm = Vec::new();
    for item in 0..words.n_items() as u32 {
        if !words.has_text(item) {
            continue;
        }
        if cold.binary_search(&item).is_ok() {
            told.push(item);
        } else {
            warm.push(item);
        }
    }
    if warm.is_empty() || told.is_empty() {
        return 0;
    }

    let warm = spread(&warm, MOST_WARM);
    let lengths = warm.iter().map(|&item| length(&items.row(item)));
    let mean_length = lengths.sum::<f64>() / warm.len() as f64;
    let strength = choose_strength(words, items, &warm);
    let map = KernelRidge::fit(words, items, &warm, strength);
    for (&item, row) in told.iter().zip(map.rows(words, &told)) {
        let size = length(&row).max(f64::MIN_POSITIVE);
        for (to, entry) in items.row_mut(item).iter_mut().zip(row) {
            *to = (f64::from(entry) / size * mean_length) as f32;
        }
    }
    told.len()
}

/// At most `most` of some items, at even distances.
fn spread(items: &[u32], most: usize) -> Vec<u32> {
    let n_kept = items.len().min(most);
    let mut kept = Vec::with_capacity(n_kept);
    for place in 0..n_kept {
        kept.push(items[place * items.len() / n_kept]);
    }
    kept
}

/// The strength of the ridge that gives held-out warm items the directions of
/// their own rows best.
fn choose_strength(words: &ItemWords, items: &Table, warm: &[u32]) -> f64 {
    let mut held_out = Vec::new();
    let mut rest = Vec::new();
    for (place, &item) in warm.iter().enumerate() {
        if place % HELD_OUT_ONE_IN == 0 {
            held_out.push(item);
        } else {
            rest.push(item);
        }
    }

    let mut best_strength = STRENGTHS[STRENGTHS.len() / 2];
    if rest.is_empty() {
        return best_strength;
    }
    let mut most = f64::NEG_INFINITY;
    for strength in STRENGTHS {
        let map = KernelRidge::fit(words, items, &rest, strength);
        let rows = map.rows(words, &held_out);
        let pairs = held_out.iter().zip(&rows);
        let cosines = pairs.map(|(&item, row)| cosine(row, &items.row(item)));
        let likeness = cosines.sum::<f64>();
        if likeness > most {
            most = likeness;
            best_strength = strength;
        }
    }
    best_strength
}

/// A ridge regression from the cosines of texts to item rows.
struct KernelRidge {
    /// The items that it was fitted to.
    fitted: Vec<u32>,
    /// What each of them adds to a row, times the cosine of the two texts
    /// `[items, width]`.
    parts: Mat<f64>,
    /// The mean row of the items that it was fitted to `[width]`.
    mean: Vec<f64>,
}

impl KernelRidge {
    /// `(K + α I)⁻¹ (Z − mean)`, K the cosines of the texts.
    fn fit(
        words: &ItemWords,
        items: &Table,
        fitted: &[u32],
        strength: f64,
    ) -> Self {
        let mean = mean_row(items, fitted);
        let rows = Mat::from_fn(fitted.len(), items.width(), |row, column| {
            f64::from(items.row(fitted[row])[column]) - mean[column]
        });
        let mut kernel = words.cosines_between(fitted, fitted);
        for place in 0..fitted.len() {
            kernel[(place, place)] += strength;
        }
        let factor = kernel
            .llt(Side::Lower)
            .expect("cosines plus a ridge are positive definite");
        Self {
            parts: factor.solve(&rows),
            fitted: fitted.to_vec(),
            mean,
        }
    }

    /// The rows of some items that have a text, each `[width]`.
    fn rows(&self, words: &ItemWords, of: &[u32]) -> Vec<Vec<f32>> {
        let cosines = words.cosines_between(of, &self.fitted);
        let products = cosines * &self.parts; // [of, width]
        let mut rows = Vec::with_capacity(of.len());
        for place in 0..of.len() {
            let entries = self.mean.iter().enumerate();
            let row = entries.map(|(column, mean)| {
                (products[(place, column)] + mean) as f32
            });
            rows.push(row.collect());
        }
        rows
    }
}

/// The Euclidean length of a row.
fn length(row: &[f32]) -> f64 {
    dot(row, row).sqrt()
}

/// The mean of some items' rows `[width]`.
fn mean_row(table: &Table, items: &[u32]) -> Vec<f64> {
    let n = items.len() as f64;
    let mut mean = vec![0.0; table.width()];
    for &item in items {
        for (sum, entry) in mean.iter_mut().zip(&*table.row(item)) {
            *sum += f64::from(*entry) / n;
        }
    }
    mean
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    dot(a, b) / lengths.max(f64::MIN_POSITIVE)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    let products = pairs.map(|(&x, &y)| f64::from(x) * f64::from(y));
    products.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::item_words::WordCounter;

    /// Forty items of four kinds; kind and text agree. The last one has no text.
    fn kinds() -> (ItemWords, Table) {
        let mut counter = WordCounter::new(41);
        for item in 0..40 {
            counter.add_text(item, &format!("kind{} own{item}", item % 4));
        }
        let mut values = Vec::new();
        for item in 0..41 {
            for place in 0..32 {
                let is_own = place % 4 == item % 4;
                values.push(if is_own { 0.02 } else { 0.0 });
            }
        }
        (counter.finish(), Table::new(values, 32))
    }

    #[test]
    fn an_item_that_nobody_knows_gets_the_row_of_its_kind() {
        let (words, mut items) = kinds();
        let expected = items.row(8).to_vec();
        items.row_mut(12).fill(0.0);
        assert_eq!(rows_from_texts(&words, &mut items, &[12]), 1);
        let found = items.row(12);
        assert!(cosine(&found, &expected) > 0.9, "{found:?}");
    }

    #[test]
    fn an_item_without_a_text_keeps_its_row() {
        let (words, mut items) = kinds();
        let before = items.clone();
        assert_eq!(rows_from_texts(&words, &mut items, &[40]), 0);
        assert_eq!(items, before);
    }

    #[test]
    fn a_few_of_many_are_spread_over_all() {
        let all: Vec<u32> = (0..10).collect();
        assert_eq!(spread(&all, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(&all, 20), all);
    }
}
