//! EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW
//! 2019): a closed-form linear model of which items go together. The bar for
//! the language model, its teacher when asked for, and its partner in a hybrid.
//!
//! It may read: the cosines of the items' texts, times a strength β, are added
//! to how often the items go together, as if each word were a user whose
//! history is the items that have it.
//!
//! It may heed the order of histories: two items that a user took one after the
//! other then go together more than two with many others between them.

use std::path::Path;

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::error::Error;
use crate::metrics;
use crate::reading::item_words::{Cosines, ItemWords};
use crate::tensors::{NamedTensor, TensorFile, write_tensors};

/// EASE's item-to-item weights, all of them.
#[derive(Debug)]
pub struct Ease {
    n_items: usize,
    /// The weights `[items, items]`, row-major: a history's item i adds its row
    /// to the scores.
    weights: Vec<f32>,
}

/// How often each pair of items goes together, and how alike their texts are.
#[derive(Debug)]
pub struct Gram<'a> {
    histories: &'a [Vec<u32>],
    n_items: usize,
    /// How alike the texts are; absent where none are read.
    cosines: Option<Cosines>,
}

impl<'a> Gram<'a> {
    /// The matrix of some histories and of the words of the items.
    pub fn new(histories: &'a [Vec<u32>], words: &ItemWords) -> Self {
        Self {
            histories,
            n_items: words.n_items(),
            cosines: (!words.is_empty()).then(|| words.cosines()),
        }
    }

    /// True where there are texts to be read.
    pub fn has_texts(&self) -> bool {
        self.cosines.is_some()
    }

    /// `G + β K + λ I` `[items, items]`: G counts how often items go together,
    /// K are the cosines of the texts.
    fn regularized(&self, settings: &EaseSettings) -> Mat<f64> {
        let n_items = self.n_items;
        let mut gram = Mat::<f64>::zeros(n_items, n_items);
        match settings.nearness {
            None => self.add_pairs(&mut gram),
            Some(nearness) => self.add_near_pairs(&mut gram, nearness),
        }
        if let Some(cosines) = &self.cosines
            && settings.text_strength > 0.0
        {
            cosines.add_to(&mut gram, settings.text_strength);
        }
        for item in 0..n_items {
            gram[(item, item)] += settings.lambda;
        }
        gram
    }

    /// `XᵀX`: each pair of items of a history counts 1.
    fn add_pairs(&self, gram: &mut Mat<f64>) {
        for history in self.histories {
            for &a in history {
                for &b in history {
                    gram[(a as usize, b as usize)] += 1.0;
                }
            }
        }
    }

    /// A pair counts `e^(−distance/τ)`, the distance in places of the history:
    /// a positive definite kernel, so that the matrix can be inverted as before.
    fn add_near_pairs(&self, gram: &mut Mat<f64>, nearness: f64) {
        let shares: Vec<f64> = (0..FARTHEST)
            .map(|distance| (-(distance as f64) / nearness).exp())
            .collect();
        for history in self.histories {
            for (place, &a) in history.iter().enumerate() {
                gram[(a as usize, a as usize)] += 1.0;
                for (&b, share) in history[place + 1..].iter().zip(&shares[1..])
                {
                    gram[(a as usize, b as usize)] += share;
                    gram[(b as usize, a as usize)] += share;
                }
            }
        }
    }
}

/// What EASE is fitted with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EaseSettings {
    /// The regularisation λ.
    pub lambda: f64,
    /// How much a text's likeness counts beside an interaction, β.
    pub text_strength: f64,
    /// Over how many places of a history a pair's weight falls to 1/e, τ; absent
    /// where all pairs of a history count the same.
    pub nearness: Option<f64>,
}

/// Pairs farther apart count nothing: `e^(−64/2)` is below what f32 keeps.
const FARTHEST: usize = 64;

impl Ease {
    /// Computes `B_ij = −P_ij / P_jj`, `B_ii = 0`, with `P = (G + β K + λ I)⁻¹`
    /// (the paper's equation 8, where G is XᵀX, and the cosines of the texts K).
    ///
    /// `None` where the matrix cannot be inverted, which a λ above 0 rules out.
    pub fn fit(gram: &Gram<'_>, settings: &EaseSettings) -> Option<Self> {
        let n_items = gram.n_items;
        let gram = gram.regularized(settings);
        let factor = gram.llt(Side::Lower).ok()?;
        drop(gram); // the largest catalogue's takes .8 GB
        let inverse = factor.inverse();
        let diagonal = (0..n_items).map(|item| inverse[(item, item)]);
        let diagonal: Vec<f64> = diagonal.collect();

        let mut weights = vec![0.0; n_items * n_items];
        let rows = weights.par_chunks_mut(n_items).enumerate();
        rows.for_each(|(row, weights)| {
            // The inverse is symmetric and column-major.
            let entries = inverse.col(row).iter().zip(&diagonal);
            for (weight, (entry, diagonal)) in weights.iter_mut().zip(entries) {
                *weight = (-entry / diagonal) as f32;
            }
            weights[row] = 0.0;
        });
        Some(Self { n_items, weights })
    }

    /// Scores of the catalogue for a history: the sum of its items' rows
    /// `[items]`.
    pub fn scores(&self, history: &[u32]) -> Vec<f32> {
        let mut scores = vec![0.0; self.n_items];
        for &item in history {
            let start = item as usize * self.n_items;
            let row = &self.weights[start..][..self.n_items];
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += weight;
            }
        }
        scores
    }

    /// The `n_kept` largest weights of each row by size.
    pub fn sparse(&self, n_kept: usize) -> ItemWeights {
        let kept = self.weights.par_chunks(self.n_items);
        let kept: Vec<Vec<u32>> =
            kept.map(|row| largest(row, n_kept)).collect();

        let mut sparse = ItemWeights {
            offsets: vec![0],
            items: Vec::new(),
            values: Vec::new(),
        };
        let rows = self.weights.chunks(self.n_items);
        for (items, weights) in kept.iter().zip(rows) {
            for &item in items {
                sparse.items.push(item as i32);
                sparse.values.push(weights[item as usize]);
            }
            sparse.offsets.push(sparse.items.len() as i32);
        }
        sparse
    }
}

/// The columns of a row's `n_kept` largest weights by size, ascending.
fn largest(row: &[f32], n_kept: usize) -> Vec<u32> {
    let sizes: Vec<f32> = row.iter().map(|weight| weight.abs()).collect();
    let kept = metrics::top_k(&sizes, n_kept, |item| row[item as usize] != 0.0);
    let mut items: Vec<u32> = kept.into_iter().map(|(item, _)| item).collect();
    items.sort_unstable();
    items
}

/// Sparse item-to-item weights: the light model of a hybrid.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    /// Row i is `offsets[i]..offsets[i + 1]` of the other two `[items + 1]`.
    offsets: Vec<i32>,
    /// The columns of the weights, ascending in each row.
    items: Vec<i32>,
    values: Vec<f32>,
}

impl ItemWeights {
    /// How many items there are, J.
    pub fn n_items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The memory that the weights take, in bytes.
    pub fn n_bytes(&self) -> usize {
        let offsets = size_of_val(&*self.offsets);
        let items = size_of_val(&*self.items);
        let values = size_of_val(&*self.values);
        offsets + items + values
    }

    /// Items without a weight: nobody has interacted with them.
    pub fn unknown_items(&self) -> Vec<u32> {
        let mut unknown = Vec::new();
        for (item, span) in (0u32..).zip(self.offsets.windows(2)) {
            if span[0] == span[1] {
                unknown.push(item);
            }
        }
        unknown
    }

    /// Scores of the catalogue for a history: the sum of its items' rows
    /// `[items]`.
    pub fn scores(&self, history: &[u32]) -> Vec<f32> {
        let mut scores = vec![0.0; self.n_items()];
        for &item in history {
            let (items, values) = self.row(item);
            for (&other, value) in items.iter().zip(values) {
                scores[other as usize] += value;
            }
        }
        scores
    }

    /// What an item of a history adds to another item's score.
    pub fn weight(&self, of_history: u32, item: u32) -> f32 {
        let (items, values) = self.row(of_history);
        let place = items.binary_search(&item.cast_signed());
        place.map_or(0.0, |place| values[place])
    }

    /// An item's columns, ascending, and their weights.
    fn row(&self, item: u32) -> (&[i32], &[f32]) {
        let start = self.offsets[item as usize] as usize;
        let end = self.offsets[item as usize + 1] as usize;
        (&self.items[start..end], &self.values[start..end])
    }

    /// Writes `offsets`, `items` and `values` into a safetensors file.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let tensors = [
            NamedTensor::i32(
                "offsets",
                vec![self.offsets.len()],
                &self.offsets,
            ),
            NamedTensor::i32("items", vec![self.items.len()], &self.items),
            NamedTensor::f32("values", vec![self.values.len()], &self.values),
        ];
        write_tensors(path, &tensors)
    }

    /// Reads and checks what [`Self::write`] wrote, for a catalogue of
    /// `n_items`.
    pub fn read(path: &Path, n_items: usize) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let (_, offsets) = file.i32("offsets")?;
        let (_, items) = file.i32("items")?;
        let (_, values) = file.f32("values")?;

        let has_rows = offsets.len() == n_items + 1;
        let is_whole = has_rows && offsets[0] == 0 && offsets.is_sorted();
        let last = offsets.last().map(|&end| end as usize);
        let ends_well = last == Some(items.len());
        if !is_whole || !ends_well || items.len() != values.len() {
            let reason = format!(
                "{} offsets, {} items and {} values are not the rows of {n_items} items",
                offsets.len(),
                items.len(),
                values.len()
            );
            return Err(Error::malformed(path, reason));
        }

        let mut columns = items.iter();
        if columns.any(|&item| item < 0 || item as usize >= n_items) {
            let reason = format!("a column is outside of the {n_items} items");
            return Err(Error::malformed(path, reason));
        }
        Ok(Self {
            offsets,
            items,
            values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::words::WordCounter;

    /// Items 0 and 1 are always taken together, 2 and 3 too.
    fn pairs() -> Vec<Vec<u32>> {
        (0..20)
            .map(|user| {
                if user % 2 == 0 {
                    vec![0, 1]
                } else {
                    vec![2, 3]
                }
            })
            .collect()
    }

    fn with(lambda: f64, text_strength: f64) -> EaseSettings {
        EaseSettings {
            lambda,
            text_strength,
            nearness: None,
        }
    }

    #[test]
    fn what_was_taken_next_goes_with_an_item_more_than_what_came_later() {
        let histories: Vec<Vec<u32>> = (0..20).map(|_| vec![0, 1, 2]).collect();
        let gram = Gram::new(&histories, &ItemWords::none(3));
        let scores = |nearness| {
            let settings = EaseSettings {
                nearness,
                ..with(3.0, 0.0)
            };
            Ease::fit(&gram, &settings).unwrap().scores(&[0])
        };
        let blind = scores(None);
        assert!((blind[1] - blind[2]).abs() < 1e-6, "{blind:?}");
        let near = scores(Some(2.0));
        assert!(near[1] > 1.5 * near[2], "{near:?}");
        // So far that all count the same.
        let far = scores(Some(1e9));
        assert!((far[1] - blind[1]).abs() < 1e-4, "{far:?} {blind:?}");
    }

    fn fit(
        histories: &[Vec<u32>],
        n_items: usize,
        lambda: f64,
    ) -> Option<Ease> {
        let gram = Gram::new(histories, &ItemWords::none(n_items));
        Ease::fit(&gram, &with(lambda, 0.0))
    }

    #[test]
    fn an_item_that_nobody_took_goes_with_those_that_its_text_is_like() {
        let mut counter = WordCounter::new(12);
        for item in [0, 1, 4] {
            counter.add_text(item, "guitar strings");
        }
        for item in [2, 3] {
            counter.add_text(item, "snare drum");
        }
        let histories = pairs();
        let gram = Gram::new(&histories, &ItemWords::of(&counter.finish()));
        let reads = Ease::fit(&gram, &with(3.0, 2.0)).unwrap().scores(&[0]);
        assert!(reads[4] > 0.0 && reads[4] > reads[2].abs(), "{reads:?}");
        let blind = Ease::fit(&gram, &with(3.0, 0.0)).unwrap().scores(&[0]);
        assert_eq!(blind[4], 0.0, "no text is read");
    }

    #[test]
    fn weights_solve_the_normal_equations() {
        // For each column j: X_{-j}ᵀ(X B − X)_j + λ B_j = 0 off the diagonal.
        let (histories, lambda) = (pairs(), 3.0);
        let ease = fit(&histories, 4, lambda).unwrap();
        let weight = |i: usize, j: usize| f64::from(ease.weights[i * 4 + j]);
        let gram = |a: u32, b: u32| {
            histories
                .iter()
                .filter(|history| history.contains(&a) && history.contains(&b))
                .count() as f64
        };
        for j in 0..4 {
            assert_eq!(weight(j, j), 0.0);
            for i in (0..4).filter(|&i| i != j) {
                let residual = (0..4)
                    .map(|k| gram(i as u32, k as u32) * weight(k, j))
                    .sum::<f64>()
                    - gram(i as u32, j as u32)
                    + lambda * weight(i, j);
                assert!(residual.abs() < 1e-5, "{i} {j}: {residual}");
            }
        }
    }

    #[test]
    fn keeping_all_weights_changes_no_score_and_files_keep_them() {
        let ease = fit(&pairs(), 4, 1.0).unwrap();
        let all = ease.sparse(4);
        assert_eq!(all.scores(&[0, 3]), ease.scores(&[0, 3]));
        assert!(all.unknown_items().is_empty());
        assert_eq!(
            fit(&pairs(), 6, 1.0).unwrap().sparse(6).unknown_items(),
            [4, 5],
            "nobody took them"
        );
        let best = ease.sparse(1);
        assert_eq!(
            best.scores(&[0])[1],
            ease.scores(&[0])[1],
            "the largest weight stays"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("light.safetensors");
        best.write(&path).unwrap();
        assert_eq!(ItemWeights::read(&path, 4).unwrap(), best);
        assert!(
            ItemWeights::read(&path, 5)
                .unwrap_err()
                .to_string()
                .contains("5 items")
        );
    }
}
