//! From the rows of one table to those of another that means the same things in
//! other directions: what a new item's row would be in a model that learned
//! before the item was there.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use crate::tokens::table::Table;

/// The ridge beside the mean square of an entry's column.
const RIDGE: f64 = 1e-2;
/// The most pairs that are learned from, evenly chosen.
const MOST_FITTED: usize = 20_000;

/// Two rows that stand for the same user or item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPair {
    /// The row in the table that is mapped from.
    pub from: u32,
    /// The row in the table that is mapped to.
    pub to: u32,
}

/// A linear map between the rows of two tables: ridge regression over pairs of
/// rows.
#[derive(Debug, Clone)]
pub struct RowMap {
    /// `[from width, to width]`
    weights: Mat<f64>,
}

impl RowMap {
    /// Fits the map to pairs of rows; `None` without any, and where their
    /// products are no finite numbers.
    pub fn fit(from: &Table, to: &Table, pairs: &[RowPair]) -> Option<Self> {
        let step = pairs.len().div_ceil(MOST_FITTED).max(1);
        let pairs: Vec<RowPair> = pairs.iter().step_by(step).copied().collect();
        if pairs.is_empty() {
            return None;
        }
        let known = rows(from, pairs.iter().map(|pair| pair.from)); // [pairs, from width]
        let wanted = rows(to, pairs.iter().map(|pair| pair.to)); // [pairs, to width]
        let mut gram = known.transpose() * &known;
        let width = gram.nrows();
        let trace: f64 = (0..width).map(|place| gram[(place, place)]).sum();
        let ridge = (RIDGE * trace / width as f64).max(f64::MIN_POSITIVE);
        for place in 0..width {
            gram[(place, place)] += ridge;
        }
        let solver = gram.llt(Side::Lower).ok()?;
        let weights = solver.solve(known.transpose() * wanted);
        Some(Self { weights })
    }

    /// Maps a row. Shapes: `[from width]` → `[to width]`.
    pub fn row(&self, row: &[f32]) -> Vec<f32> {
        let mut mapped = vec![0.0; self.weights.ncols()];
        for (column, entry) in mapped.iter_mut().enumerate() {
            let weights = self.weights.col(column);
            let products = row.iter().zip(weights.iter());
            let sum: f64 =
                products.map(|(&entry, w)| f64::from(entry) * w).sum();
            *entry = sum as f32;
        }
        mapped
    }
}

/// Some of a table's rows as a matrix.
fn rows(table: &Table, places: impl Iterator<Item = u32>) -> Mat<f64> {
    let rows: Vec<_> = places.map(|place| table.row(place)).collect();
    Mat::from_fn(rows.len(), table.width(), |row, column| {
        f64::from(rows[row][column])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_table_is_mapped_back_also_where_no_pair_was_given() {
        let rows: Vec<f32> = (0..40).map(|n| (n as f32 * 0.7).sin()).collect();
        let from = Table::new(rows.clone(), 2);
        let turned = rows.chunks(2).flat_map(|row| [-row[1], row[0]]);
        let to = Table::new(turned.collect(), 2);
        let mut pairs = Vec::new();
        for row in 0..15 {
            pairs.push(RowPair { from: row, to: row });
        }
        let map = RowMap::fit(&from, &to, &pairs).unwrap();
        for row in 15..20 {
            let mapped = map.row(&from.row(row));
            for (mapped, wanted) in mapped.iter().zip(&*to.row(row)) {
                assert!((mapped - wanted).abs() < 0.03, "{mapped} {wanted}");
            }
        }
        assert!(RowMap::fit(&from, &to, &[]).is_none());
    }
}
