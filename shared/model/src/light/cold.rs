//! Rows for items that nobody has interacted with yet, from their texts: a
//! linear map from the content head's words to the collaborative rows, learned
//! on the items that have both.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

use crate::backbone::decoder::Backbone;
use crate::light::text_rows::{TextRows, words_of_items};
use crate::tokens::prompt::Document;
use crate::tokens::table::Table;

/// The strengths of the ridge that are tried, relative to the size of the
/// texts' Gram matrix.
const STRENGTHS: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// One warm item in so many is held out to choose the strength.
const HELD_OUT_ONE_IN: usize = 5;

/// Overwrites the rows of the `cold` items that have a text; returns how many
/// that are, or a document's error. Without a warm item that has a text nothing
/// is learned and nothing changes.
///
/// A text is the mean of the embeddings of its words that other texts have too,
/// rarer ones counting more (ln of items over items with the word), less the
/// mean over all items: the direction in which the content LM's tied softmax
/// pulls the item's token. The map is ridge regression to the rows less their
/// mean; what it gives, the mean added, is scaled to the mean length of the
/// learned rows.
pub fn rows_from_texts<E>(
    backbone: &Backbone,
    documents: impl Iterator<Item = Result<Document, E>>,
    items: &mut Table,
    cold: &[u32],
) -> Result<usize, E> {
    if cold.is_empty() {
        return Ok(0);
    }
    let words_of = words_of_items(documents, items.n_rows())?;
    let texts = TextRows::new(backbone, words_of);
    let (told, warm): (Vec<u32>, Vec<u32>) = texts
        .items()
        .partition(|item| cold.binary_search(item).is_ok());
    if warm.is_empty() || told.is_empty() {
        return Ok(0);
    }

    let map = RidgeMap::choose(&texts, items, &warm);

    let lengths = warm.iter().map(|&item| length(&items.row(item)));
    let mean_length = lengths.sum::<f64>() / warm.len() as f64;
    for &item in &told {
        let row = map.apply(&texts, item);
        let size = length(&row).max(f64::MIN_POSITIVE);
        for (to, entry) in items.row_mut(item).iter_mut().zip(row) {
            *to = (f64::from(entry) / size * mean_length) as f32;
        }
    }
    Ok(told.len())
}

/// The Euclidean length of a row.
fn length(row: &[f32]) -> f64 {
    let squares = row.iter().map(|&entry| f64::from(entry).powi(2));
    squares.sum::<f64>().sqrt()
}

/// A ridge regression from texts to item rows: a text's row times the slope,
/// plus the mean, is an item's row.
struct RidgeMap {
    /// The weights `[width, width]`.
    slope: Mat<f64>,
    /// The mean row of the items that it was fitted to `[width]`.
    mean: Vec<f64>,
}

impl RidgeMap {
    /// The ridge whose strength gives held-out warm items the directions of
    /// their own rows best.
    fn choose(texts: &TextRows, items: &Table, warm: &[u32]) -> Self {
        let mut held_out = Vec::new();
        let mut rest = Vec::new();
        for (place, &item) in warm.iter().enumerate() {
            if place % HELD_OUT_ONE_IN == 0 {
                held_out.push(item);
            } else {
                rest.push(item);
            }
        }

        let mut best_likeness = f64::NEG_INFINITY;
        let mut best_strength = STRENGTHS[STRENGTHS.len() - 1];
        if !rest.is_empty() {
            for strength in STRENGTHS {
                let map = Self::fit(texts, items, &rest, strength);
                let likeness = map.likeness(texts, items, &held_out);
                if likeness > best_likeness {
                    best_likeness = likeness;
                    best_strength = strength;
                }
            }
        }

        Self::fit(texts, items, warm, best_strength)
    }

    /// The sum of the cosines between what the map gives for some items and
    /// their own rows.
    fn likeness(
        &self,
        texts: &TextRows,
        items: &Table,
        held_out: &[u32],
    ) -> f64 {
        let cosines = held_out
            .iter()
            .map(|&item| cosine(&self.apply(texts, item), &items.row(item)));
        cosines.sum()
    }

    /// `(TᵀT + α I)⁻¹ Tᵀ(Z − mean)`, α relative to the mean of TᵀT's diagonal.
    fn fit(
        texts: &TextRows,
        items: &Table,
        warm: &[u32],
        strength: f64,
    ) -> Self {
        let from = texts.matrix(warm);
        let mean = mean_row(items, warm);
        let to = Mat::from_fn(warm.len(), items.width(), |row, column| {
            f64::from(items.row(warm[row])[column]) - mean[column]
        });

        let mut gram = from.transpose() * &from;
        let width = gram.ncols();
        let trace = (0..width).map(|place| gram[(place, place)]).sum::<f64>();
        let size = trace / width as f64;
        let alpha = (strength * size).max(f64::MIN_POSITIVE);
        for place in 0..width {
            gram[(place, place)] += alpha;
        }

        let inverse = gram
            .llt(Side::Lower)
            .expect("a Gram matrix plus a ridge is positive definite")
            .inverse();
        Self {
            slope: inverse * (from.transpose() * to),
            mean,
        }
    }

    /// The row of an item that has a text `[width]`.
    fn apply(&self, texts: &TextRows, item: u32) -> Vec<f32> {
        let row = texts.matrix(&[item]) * &self.slope;
        let entries = self.mean.iter().enumerate();
        entries
            .map(|(column, mean)| (row[(0, column)] + mean) as f32)
            .collect()
    }
}

/// The mean of some items' rows `[width]`.
fn mean_row(table: &Table, items: &[u32]) -> Vec<f64> {
    let n = items.len() as f64;
    let mut mean = Vec::with_capacity(table.width());
    for column in 0..table.width() {
        let entries = items.iter().map(|&item| table.row(item)[column]);
        mean.push(entries.map(f64::from).sum::<f64>() / n);
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
    use crate::device::Device;
    use crate::tokens::prompt::Token;
    use domain::RandomBackbone;

    /// Forty items of two kinds; kind and text agree.
    fn kinds() -> (Backbone, Vec<Document>, Table) {
        let shape = RandomBackbone {
            n_embd: 32,
            n_positions: 16,
            ..RandomBackbone::default()
        };
        let backbone = Backbone::random(&shape, &Device::flex());
        let documents = (0..40)
            .map(|item| Document {
                prompt: vec![Token::Item(item)],
                main: vec![
                    Token::Word(100 + item % 2),
                    Token::Word(1_000 + item),
                ],
            })
            .collect();
        let row = |item: usize| {
            (0..32).map(
                move |place| if place % 2 == item % 2 { 0.02 } else { 0.0 },
            )
        };
        (
            backbone,
            documents,
            Table::new((0..40).flat_map(row).collect(), 32),
        )
    }

    fn all(
        documents: Vec<Document>,
    ) -> impl Iterator<Item = Result<Document, ()>> {
        documents.into_iter().map(Ok)
    }

    #[test]
    fn an_item_that_nobody_knows_gets_the_row_of_its_kind() {
        let (backbone, documents, mut items) = kinds();
        let expected = items.row(8).to_vec();
        items.values_mut()[10 * 32..11 * 32].fill(0.0);
        assert_eq!(
            rows_from_texts(&backbone, all(documents), &mut items, &[10]),
            Ok(1)
        );
        assert!(
            cosine(&items.row(10), &expected) > 0.9,
            "{:?}",
            items.row(10)
        );
    }

    #[test]
    fn an_item_without_a_text_keeps_its_row() {
        let (backbone, mut documents, mut items) = kinds();
        documents.remove(10);
        let before = items.clone();
        assert_eq!(
            rows_from_texts(&backbone, all(documents), &mut items, &[10]),
            Ok(0)
        );
        assert_eq!(items, before);
    }
}
