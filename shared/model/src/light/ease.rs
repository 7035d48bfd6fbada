//! EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW
//! 2019): a closed-form linear model of which items go together. The bar for
//! the language model, its teacher when asked for, and its partner in a hybrid.

use std::path::Path;

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::error::Error;
use crate::metrics;
use crate::tensors::{NamedTensor, TensorFile, write_tensors};

/// EASE's item-to-item weights, all of them.
#[derive(Debug)]
pub struct Ease {
    n_items: usize,
    /// The weights `[items, items]`, row-major: a history's item i adds its row
    /// to the scores.
    weights: Vec<f32>,
}

impl Ease {
    /// Computes `B_ij = −P_ij / P_jj`, `B_ii = 0`, with `P = (XᵀX + λ I)⁻¹`
    /// (the paper's equation 8).
    ///
    /// `None` where `XᵀX + λ I` cannot be inverted, which a λ above 0 rules
    /// out.
    pub fn fit(
        histories: &[Vec<u32>],
        n_items: usize,
        lambda: f64,
    ) -> Option<Self> {
        let mut gram = Mat::<f64>::zeros(n_items, n_items);
        for history in histories {
            for &a in history {
                for &b in history {
                    gram[(a as usize, b as usize)] += 1.0;
                }
            }
        }
        for item in 0..n_items {
            gram[(item, item)] += lambda;
        }

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

    #[test]
    fn weights_solve_the_normal_equations() {
        // For each column j: X_{-j}ᵀ(X B − X)_j + λ B_j = 0 off the diagonal.
        let (histories, lambda) = (pairs(), 3.0);
        let ease = Ease::fit(&histories, 4, lambda).unwrap();
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
        let ease = Ease::fit(&pairs(), 4, 1.0).unwrap();
        let all = ease.sparse(4);
        assert_eq!(all.scores(&[0, 3]), ease.scores(&[0, 3]));
        assert!(all.unknown_items().is_empty());
        assert_eq!(
            Ease::fit(&pairs(), 6, 1.0)
                .unwrap()
                .sparse(6)
                .unknown_items(),
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
