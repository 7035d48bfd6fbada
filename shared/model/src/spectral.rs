//! A start for the tables that already knows which items go together: the leading singular vectors of the
//! degree-normalised interactions.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::tables::{INIT_STD, Table, TokenTables};

/// Singular vectors that are used.
const RANK: usize = 64;
/// Extra directions of the randomised iteration, for accuracy.
const OVERSAMPLING: usize = 10;
/// Of a small catalogue's directions only one in so many is kept: all of them together tell nothing apart.
const SHARE_KEPT: usize = 4;
/// Power iterations.
const N_ITERATIONS: usize = 4;

/// Rows from the top singular vectors of `D_u^-½ R D_i^-½`: item rows are the right ones times the square root of
/// the item's degree, user rows the left ones; both under one random rotation into `width` dimensions and scaled to
/// the size of a fresh N(0, 0.02²) table. The same for the same seed.
pub fn spectral_tables(histories: &[Vec<u32>], n_items: usize, width: usize, seed: u64) -> TokenTables {
    let interactions = Interactions::new(histories, n_items);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n_vectors = (RANK + OVERSAMPLING).min(n_items).min(histories.len());
    let rank = RANK.min(n_vectors / SHARE_KEPT).clamp(1, width);
    let mut basis = orthonormal(&normal(n_items, n_vectors, &mut rng)); // [items, vectors]
    for _ in 0..N_ITERATIONS {
        basis = orthonormal(&interactions.transposed_times(&interactions.times(&basis)));
    }
    let projected = interactions.times(&basis); // [users, vectors]
    let svd = projected.thin_svd().expect("the singular values of a finite matrix converge");
    let right = &basis * svd.V(); // [items, vectors]
    let rotation = orthonormal(&normal(width, rank, &mut rng)); // [width, rank]
    let rotated = |vectors: faer::MatRef<'_, f64>| vectors.subcols(0, rank) * rotation.transpose();
    let users = rotated(svd.U());
    let mut items = rotated(right.as_ref());
    for (item, degree) in interactions.item_degrees.iter().enumerate() {
        items.row_mut(item).iter_mut().for_each(|entry| *entry *= degree.max(1.0).sqrt());
    }
    TokenTables { users: scaled(&users), items: scaled(&items) }
}

/// Histories as a sparse matrix, by user and by item.
struct Interactions<'a> {
    by_user: &'a [Vec<u32>],
    by_item: Vec<Vec<u32>>,
    user_degrees: Vec<f64>,
    item_degrees: Vec<f64>,
}

impl<'a> Interactions<'a> {
    fn new(by_user: &'a [Vec<u32>], n_items: usize) -> Self {
        let mut by_item = vec![Vec::new(); n_items];
        for (user, items) in by_user.iter().enumerate() {
            items.iter().for_each(|&item| by_item[item as usize].push(user as u32));
        }
        let degrees = |lists: &[Vec<u32>]| lists.iter().map(|list| list.len() as f64).collect();
        Self { by_user, user_degrees: degrees(by_user), item_degrees: degrees(&by_item), by_item }
    }

    /// `A · right`: `[items, n]` → `[users, n]`.
    fn times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(self.by_user, right, &self.user_degrees, &self.item_degrees)
    }

    /// `Aᵀ · right`: `[users, n]` → `[items, n]`.
    fn transposed_times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(&self.by_item, right, &self.item_degrees, &self.user_degrees)
    }
}

/// Sums the right rows that each list names, weighted by both degrees to the power −½.
fn product(lists: &[Vec<u32>], right: &Mat<f64>, own: &[f64], other: &[f64]) -> Mat<f64> {
    let n_columns = right.ncols();
    let rows: Vec<Vec<f64>> = lists
        .par_iter()
        .zip(own)
        .map(|(list, degree)| {
            let mut sum = vec![0.0; n_columns];
            for &place in list {
                let weight = 1.0 / (degree * other[place as usize]).sqrt();
                sum.iter_mut().enumerate().for_each(|(c, sum)| *sum += weight * right[(place as usize, c)]);
            }
            sum
        })
        .collect();
    Mat::from_fn(lists.len(), n_columns, |row, column| rows[row][column])
}

fn normal(n_rows: usize, n_columns: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    Mat::from_fn(n_rows, n_columns, |_, _| StandardNormal.sample(rng))
}

fn orthonormal(matrix: &Mat<f64>) -> Mat<f64> {
    matrix.qr().compute_thin_Q()
}

/// The matrix as a table whose entries have the size of fresh ones.
fn scaled(matrix: &Mat<f64>) -> Table {
    let n = (matrix.nrows() * matrix.ncols()) as f64;
    let size = (matrix.squared_norm_l2() / n).sqrt().max(f64::MIN_POSITIVE);
    let factor = f64::from(INIT_STD) / size;
    let mut values = Vec::with_capacity(matrix.nrows() * matrix.ncols());
    for row in 0..matrix.nrows() {
        values.extend((0..matrix.ncols()).map(|column| (matrix[(row, column)] * factor) as f32));
    }
    Table::new(values, matrix.ncols())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of users, each with items of its own.
    fn two_groups() -> Vec<Vec<u32>> {
        (0..40).map(|user: u32| (0..6).map(|k| (user % 2) * 10 + (user + k) % 10).collect()).collect()
    }

    #[test]
    fn items_that_go_together_start_close_together() {
        let tables = spectral_tables(&two_groups(), 20, 32, 0);
        let dot =
            |a: u32, b: u32| -> f32 { tables.items.row(a).iter().zip(tables.items.row(b)).map(|(x, y)| x * y).sum() };
        let within: f32 = (1..10).map(|item| dot(0, item)).sum();
        let across: f32 = (10..20).map(|item| dot(0, item)).sum();
        assert!(within > across.abs() + 1e-4, "{within} {across}");
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        assert_eq!(spectral_tables(&two_groups(), 20, 32, 3), spectral_tables(&two_groups(), 20, 32, 3));
    }
}
