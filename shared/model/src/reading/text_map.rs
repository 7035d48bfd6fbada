//! The map from a text to the row of an item that has this text: kernel ridge
//! regression from the cosines of the texts to the rows of the items that
//! training knew.

use std::path::Path;

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::error::Error;
use crate::reading::item_words::ItemWords;
use crate::tensors::{NamedTensor, TensorFile};
use crate::tokens::table::Table;

/// The strengths of the ridge that are tried; a text's cosine with itself is 1.
const STRENGTHS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// One item in so many is held out to choose the strength.
const HELD_OUT_ONE_IN: usize = 5;
/// The most items that the strength is chosen with.
const MOST_TO_CHOOSE_WITH: usize = 3_000;
/// The most items that are learned from, evenly chosen: every pair of them is
/// compared.
const MOST_FITTED: usize = 10_000;

/// `text → (K + α I)⁻¹ (Z − mean)` times the text's cosines, plus the mean,
/// scaled to the mean length of Z: the rows that were fitted to.
#[derive(Debug, Clone, PartialEq)]
pub struct TextMap {
    /// The items that it was fitted to, ascending.
    pub(crate) fitted: Vec<u32>,
    /// What each of them adds to a row, times the cosine of the two texts
    /// `[fitted, width]`.
    parts: Vec<f32>,
    /// The mean row of the items that it was fitted to `[width]`.
    mean: Vec<f32>,
    /// How long a row is made.
    length: f32,
}

impl TextMap {
    /// Fits the map to the rows of the items, less those that are `cold`; none
    /// where no other item has a text.
    pub fn fit(words: &ItemWords, items: &Table, cold: &[u32]) -> Option<Self> {
        let mut warm = Vec::new();
        for item in 0..words.n_items() as u32 {
            if words.has_text(item) && cold.binary_search(&item).is_err() {
                warm.push(item);
            }
        }
        if warm.is_empty() {
            return None;
        }
        let some = spread(&warm, MOST_TO_CHOOSE_WITH);
        let strength = choose_strength(words, items, &some);
        let fitted = spread(&warm, MOST_FITTED);
        Some(Fit::new(words, items, fitted).into_map(strength))
    }

    /// The row `[width]` of an item whose text has these cosines with the texts
    /// of the items that the map was fitted to `[fitted]`.
    pub(crate) fn row(&self, cosines: &[f32]) -> Vec<f32> {
        let mut row = self.mean.clone();
        let parts = self.parts.chunks_exact(self.mean.len());
        for (&cosine, part) in cosines.iter().zip(parts) {
            // Most texts have no word in common.
            if cosine != 0.0 {
                for (entry, part) in row.iter_mut().zip(part) {
                    *entry += cosine * part;
                }
            }
        }
        let size = length(&row).max(f64::MIN_POSITIVE) as f32;
        for entry in &mut row {
            *entry *= self.length / size;
        }
        row
    }

    /// The mean of the rows that the map was fitted to `[width]`.
    pub(crate) fn mean_row(&self) -> &[f32] {
        &self.mean
    }

    /// How many entries a row has.
    pub(crate) fn width(&self) -> usize {
        self.mean.len()
    }

    /// The memory that the map takes, in bytes.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(&*self.fitted)
            + size_of_val(&*self.parts)
            + size_of_val(&*self.mean)
    }

    /// The tensors of the map in a file.
    pub(crate) fn tensors(&self) -> Vec<NamedTensor<'_>> {
        let fitted = self.fitted.iter().map(|item| item.cast_signed());
        let fitted: Vec<i32> = fitted.collect();
        let n = fitted.len();
        vec![
            NamedTensor::i32("map.fitted", vec![n], fitted),
            NamedTensor::f32("map.parts", vec![n, self.width()], &self.parts),
            NamedTensor::f32("map.mean", vec![self.width()], &self.mean),
            NamedTensor::f32("map.length", vec![1], vec![self.length]),
        ]
    }

    /// Reads and checks the tensors, for rows of `width` and a catalogue of
    /// `n_items`.
    pub(crate) fn read(
        file: &TensorFile,
        n_items: usize,
        width: usize,
    ) -> Result<Self, Error> {
        let (_, fitted) = file.i32("map.fitted")?;
        let (_, parts) = file.f32("map.parts")?;
        let (_, mean) = file.f32("map.mean")?;
        let (_, length) = file.f32("map.length")?;
        let is_of_items = |&item: &i32| item >= 0 && (item as usize) < n_items;
        let is_whole = mean.len() == width
            && parts.len() == fitted.len() * width
            && length.len() == 1
            && fitted.iter().all(is_of_items);
        if !is_whole {
            return Err(not_of(file.path(), n_items, width));
        }
        Ok(Self {
            fitted: fitted.into_iter().map(i32::cast_unsigned).collect(),
            parts,
            mean,
            length: length[0],
        })
    }
}

fn not_of(path: &Path, n_items: usize, width: usize) -> Error {
    let reason = format!(
        "the map is not one to rows of {width} for a catalogue of {n_items}"
    );
    Error::malformed(path, reason)
}

/// What a map is fitted to, whatever the strength of the ridge.
#[derive(Clone)]
struct Fit {
    fitted: Vec<u32>,
    /// The mean of their rows `[width]`.
    mean: Vec<f64>,
    /// Their rows, less the mean `[fitted, width]`.
    rows: Mat<f64>,
    /// The mean length of their rows.
    length: f64,
    /// The cosines of their texts `[fitted, fitted]`.
    kernel: Mat<f64>,
}

impl Fit {
    fn new(words: &ItemWords, items: &Table, fitted: Vec<u32>) -> Self {
        let mean = mean_row(items, &fitted);
        let rows = Mat::from_fn(fitted.len(), items.width(), |row, column| {
            f64::from(items.row(fitted[row])[column]) - mean[column]
        });
        let lengths = fitted.iter().map(|&item| length(&items.row(item)));
        Self {
            length: lengths.sum::<f64>() / fitted.len() as f64,
            kernel: words.cosines_between(&fitted, &fitted),
            fitted,
            mean,
            rows,
        }
    }

    fn into_map(mut self, strength: f64) -> TextMap {
        for place in 0..self.fitted.len() {
            self.kernel[(place, place)] += strength;
        }
        let factor = self
            .kernel
            .llt(Side::Lower)
            .expect("cosines plus a ridge are positive definite");
        let solved = factor.solve(&self.rows);
        let mut parts = Vec::with_capacity(solved.nrows() * solved.ncols());
        for place in 0..solved.nrows() {
            parts.extend(solved.row(place).iter().map(|&part| part as f32));
        }
        TextMap {
            parts,
            mean: self.mean.into_iter().map(|entry| entry as f32).collect(),
            length: self.length as f32,
            fitted: self.fitted,
        }
    }
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

/// The strength of the ridge that gives held-out items the directions of their
/// own rows best.
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
    let cosines = words.cosines_between(&rest, &held_out);
    let fit = Fit::new(words, items, rest);
    let mut most = f64::NEG_INFINITY;
    for strength in STRENGTHS {
        let map = fit.clone().into_map(strength);
        let mut likeness = 0.0;
        for (place, &item) in held_out.iter().enumerate() {
            let cosines = cosines.col(place).iter();
            let cosines: Vec<f32> = cosines.map(|&of| of as f32).collect();
            likeness += cosine(&map.row(&cosines), &items.row(item));
        }
        if likeness > most {
            most = likeness;
            best_strength = strength;
        }
    }
    best_strength
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

/// The cosine of the angle between two rows; 0 where one is all zeros.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
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

    #[test]
    fn a_few_of_many_are_spread_over_all() {
        let all: Vec<u32> = (0..10).collect();
        assert_eq!(spread(&all, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(&all, 20), all);
    }
}
