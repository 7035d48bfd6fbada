//! Rows for items that nobody has interacted with yet, from their texts: a linear map from the
//! content head's words to the collaborative rows, learned on the items that have both.

use std::collections::HashMap;

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

use crate::backbone::decoder::Backbone;
use crate::tokens::prompt::{Document, Token};
use crate::tokens::tables::Table;
use crate::tokens::words::word_rows;

/// Values of the ridge's strength that are tried, times the size of the texts' Gram matrix.
const STRENGTHS: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// One warm item in so many is held out to choose the strength.
const HELD_OUT_ONE_IN: usize = 5;

/// Overwrites the rows of the `cold` items that have a text; returns how many that are, or a
/// document's error. Without a warm item that has a text nothing is learned and nothing changes.
///
/// A text is the mean of the embeddings of its words that other texts have too, rarer ones counting
/// more (ln of items over items with the word), less the mean over all items: the direction in
/// which the content LM's tied softmax pulls the item's token. The map is ridge regression to the
/// rows less their mean; what it gives, the mean added, is scaled to the mean length of the learned
/// rows.
pub fn rows_from_texts<E>(
    backbone: &Backbone,
    documents: impl Iterator<Item = Result<Document, E>>,
    items: &mut Table,
    cold: &[u32],
) -> Result<usize, E> {
    if cold.is_empty() {
        return Ok(0);
    }
    let texts = Texts::new(backbone, documents, items.n_rows())?;
    let is_cold = |item: &u32| cold.binary_search(item).is_ok();
    let warm: Vec<u32> = texts.items().filter(|item| !is_cold(item)).collect();
    let told: Vec<u32> = texts.items().filter(is_cold).collect();
    if warm.is_empty() || told.is_empty() {
        return Ok(0);
    }
    let map = Map::choose(&texts, items, &warm);
    let length = |row: &[f32]| {
        row.iter()
            .map(|&entry| f64::from(entry).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let mean_length = warm
        .iter()
        .map(|&item| length(&items.row(item)))
        .sum::<f64>()
        / warm.len() as f64;
    for &item in &told {
        let row = map.apply(&texts, item);
        let size = length(&row).max(f64::MIN_POSITIVE);
        let target = items.row_mut(item);
        target
            .iter_mut()
            .zip(row)
            .for_each(|(to, entry)| *to = (f64::from(entry) / size * mean_length) as f32);
    }
    Ok(told.len())
}

/// Each item's text as one row; absent for items without one.
struct Texts {
    rows: Vec<Option<Vec<f64>>>,
}

impl Texts {
    fn new<E>(
        backbone: &Backbone,
        documents: impl Iterator<Item = Result<Document, E>>,
        n_items: usize,
    ) -> Result<Self, E> {
        let mut words_of: Vec<Vec<u32>> = vec![Vec::new(); n_items];
        for document in documents {
            let document = document?;
            let about = document.prompt.iter().find_map(|token| token.item());
            if let Some(item) = about {
                words_of[item as usize]
                    .extend(document.main.iter().copied().filter_map(Token::word));
            }
        }
        words_of.iter_mut().for_each(|words| {
            words.sort_unstable();
            words.dedup();
        });
        let mut n_with: HashMap<u32, usize> = HashMap::new();
        words_of
            .iter()
            .flatten()
            .for_each(|word| *n_with.entry(*word).or_default() += 1);
        n_with.retain(|_, n| *n > 1); // a word of one item tells nothing about another
        words_of
            .iter_mut()
            .for_each(|words| words.retain(|word| n_with.contains_key(word)));
        let mut words: Vec<u32> = n_with.keys().copied().collect();
        words.sort_unstable();
        let table = word_rows(backbone, &words);
        let n_texts = words_of.iter().filter(|words| !words.is_empty()).count();
        let mut rows: Vec<Option<Vec<f64>>> = words_of
            .iter()
            .map(|of_item| {
                (!of_item.is_empty()).then(|| {
                    let mut row = vec![0.0; table.width()];
                    for word in of_item {
                        let weight =
                            (n_texts as f64 / n_with[word] as f64).ln() / of_item.len() as f64;
                        let place =
                            words.binary_search(word).expect("every word was counted") as u32;
                        row.iter_mut()
                            .zip(&*table.row(place))
                            .for_each(|(sum, &x)| *sum += weight * f64::from(x));
                    }
                    row
                })
            })
            .collect();
        let mut mean = vec![0.0; table.width()];
        rows.iter().flatten().for_each(|row| {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += x / n_texts as f64)
        });
        rows.iter_mut()
            .flatten()
            .for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean));
        Ok(Self { rows })
    }

    /// The items that have a text.
    fn items(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..)
            .zip(&self.rows)
            .filter(|(_, row)| row.is_some())
            .map(|(item, _)| item)
    }

    fn row(&self, item: u32) -> &[f64] {
        self.rows[item as usize].as_deref().unwrap_or_default()
    }

    fn matrix(&self, items: &[u32]) -> Mat<f64> {
        Mat::from_fn(items.len(), self.row(items[0]).len(), |row, column| {
            self.row(items[row])[column]
        })
    }
}

/// A text's row times the slope, plus the mean, is an item's row.
struct Map {
    /// `[width, width]`.
    slope: Mat<f64>,
    /// `[width]`.
    mean: Vec<f64>,
}

impl Map {
    /// The ridge whose strength gives held-out warm items the directions of their own rows best.
    fn choose(texts: &Texts, items: &Table, warm: &[u32]) -> Self {
        let (held_out, rest): (Vec<_>, Vec<_>) = warm
            .iter()
            .enumerate()
            .partition(|(place, _)| place % HELD_OUT_ONE_IN == 0);
        let [held_out, rest] = [held_out, rest].map(|part| {
            part.into_iter()
                .map(|(_, &item)| item)
                .collect::<Vec<u32>>()
        });
        let mut best = (f64::NEG_INFINITY, STRENGTHS[STRENGTHS.len() - 1]);
        if !rest.is_empty() {
            for strength in STRENGTHS {
                let map = Self::fit(texts, items, &rest, strength);
                let likeness = held_out
                    .iter()
                    .map(|&item| cosine(&map.apply(texts, item), &items.row(item)))
                    .sum();
                if likeness > best.0 {
                    best = (likeness, strength);
                }
            }
        }
        Self::fit(texts, items, warm, best.1)
    }

    /// `(TᵀT + α I)⁻¹ Tᵀ(Z − mean)`, α relative to the mean of TᵀT's diagonal.
    fn fit(texts: &Texts, items: &Table, warm: &[u32], strength: f64) -> Self {
        let from = texts.matrix(warm);
        let n = warm.len() as f64;
        let entry = |item: u32, column: usize| f64::from(items.row(item)[column]);
        let mean: Vec<f64> = (0..items.width())
            .map(|column| warm.iter().map(|&item| entry(item, column)).sum::<f64>() / n)
            .collect();
        let to = Mat::from_fn(warm.len(), items.width(), |row, column| {
            entry(warm[row], column) - mean[column]
        });
        let mut gram = from.transpose() * &from;
        let width = gram.ncols();
        let size = (0..width).map(|place| gram[(place, place)]).sum::<f64>() / width as f64;
        let alpha = (strength * size).max(f64::MIN_POSITIVE);
        (0..width).for_each(|place| gram[(place, place)] += alpha);
        let inverse = gram
            .llt(Side::Lower)
            .expect("a Gram matrix plus a ridge is positive definite")
            .inverse();
        Self {
            slope: inverse * (from.transpose() * to),
            mean,
        }
    }

    fn apply(&self, texts: &Texts, item: u32) -> Vec<f32> {
        let row = texts.matrix(&[item]) * &self.slope;
        self.mean
            .iter()
            .enumerate()
            .map(|(column, mean)| (row[(0, column)] + mean) as f32)
            .collect()
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
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
                main: vec![Token::Word(100 + item % 2), Token::Word(1_000 + item)],
            })
            .collect();
        let row =
            |item: usize| (0..32).map(move |place| if place % 2 == item % 2 { 0.02 } else { 0.0 });
        (
            backbone,
            documents,
            Table::new((0..40).flat_map(row).collect(), 32),
        )
    }

    fn all(documents: Vec<Document>) -> impl Iterator<Item = Result<Document, ()>> {
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
