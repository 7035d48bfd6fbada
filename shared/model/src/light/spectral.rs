//! A start for the tables that already knows which items go together: the
//! leading singular vectors of the degree-normalised interactions.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::tokens::fresh_rows::INIT_STD;
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;

/// The most singular vectors that are computed.
const MOST: usize = 128;
/// Extra directions of the randomised iteration, for accuracy.
const OVERSAMPLING: usize = 10;
/// How many power iterations there are.
const N_ITERATIONS: usize = 8;

/// The leading singular vectors of `D_u^-½ R D_i^-½`: left ones for the users,
/// right ones times the square root of the item's degree for the items. The
/// same for the same seed.
#[derive(Debug)]
pub struct Spectrum {
    /// The vectors of the users `[users, vectors]`.
    users: Mat<f64>,
    /// The vectors of the items `[items, vectors]`.
    items: Mat<f64>,
}

impl Spectrum {
    /// Computes up to 128 vectors by randomised subspace iteration.
    pub fn new(histories: &[Vec<u32>], n_items: usize, seed: u64) -> Self {
        let interactions = Interactions::new(histories, n_items);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n_most = n_items.min(histories.len());
        let n_vectors = n_most.min(MOST + OVERSAMPLING);
        let start = normal(n_items, n_vectors, &mut rng);
        let mut basis = orthonormal(&start); // [items, vectors]

        for _ in 0..N_ITERATIONS {
            let users = interactions.times(&basis); // [users, vectors]
            basis = orthonormal(&interactions.transposed_times(&users));
        }

        let projected = interactions.times(&basis); // [users, vectors]
        let svd = projected
            .thin_svd()
            .expect("the singular values of a finite matrix converge");
        let mut items = &basis * svd.V(); // [items, vectors]
        for (item, degree) in interactions.item_degrees.iter().enumerate() {
            let length = degree.max(1.0).sqrt();
            for entry in items.row_mut(item).iter_mut() {
                *entry *= length;
            }
        }
        Self {
            users: svd.U().to_owned(),
            items,
        }
    }

    /// How many vectors [`Self::tables`] can use beside the rows of `avoid`.
    pub fn n_vectors(&self, avoid: &Table) -> usize {
        let n_free = avoid.width() - n_avoided(avoid);
        self.items.ncols().min(MOST).min(n_free)
    }

    /// What a block that hands normalised rows on would score with the first
    /// `rank` vectors: the inner products of the items with the sum of the
    /// history's rows, each of length one `[items]`.
    pub fn scores(&self, rank: usize, history: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; rank];
        for &item in history {
            let row = self.items.row(item as usize).subcols(0, rank);
            let squares: f64 = row.iter().map(|entry| entry * entry).sum();
            let length = squares.sqrt().max(f64::MIN_POSITIVE);
            for (sum, entry) in sum.iter_mut().zip(row.iter()) {
                *sum += entry / length;
            }
        }

        let mut scores = vec![0.0; self.items.nrows()];
        for (column, weight) in sum.into_iter().enumerate() {
            let entries = self.items.col(column);
            for (score, entry) in scores.iter_mut().zip(entries.iter()) {
                *score += (weight * entry) as f32;
            }
        }
        scores
    }

    /// Tables from the first `rank` vectors, under one random rotation into the
    /// columns of `avoid` and scaled to the size of a fresh N(0, 0.02²) table.
    ///
    /// `avoid` are the rows of the prompt's words: the rotation is orthogonal
    /// to them (and to the direction that a layer norm removes), so that what
    /// attention gathers from the words adds no constant to an item's score.
    pub fn tables(&self, rank: usize, avoid: &Table, seed: u64) -> TokenTables {
        let rank = rank.min(self.n_vectors(avoid)).max(1);
        let directions = directions(rank, avoid, seed); // [width, avoided + rank]
        let rotation = directions.subcols(n_avoided(avoid), rank).transpose(); // [rank, width]
        let users = self.users.subcols(0, rank) * rotation;
        let items = self.items.subcols(0, rank) * rotation;
        TokenTables {
            users: scaled(&users),
            items: scaled(&items),
        }
    }
}

/// Orthonormal directions `[width, avoided + rank]`: those that are to be
/// avoided, then random ones.
fn directions(rank: usize, avoid: &Table, seed: u64) -> Mat<f64> {
    let width = avoid.width();
    let n_avoided = n_avoided(avoid);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1); // not the draws of the iteration
    let mut directions = normal(width, n_avoided + rank, &mut rng);

    for column in 0..n_avoided {
        for row in 0..width {
            directions[(row, column)] = match column {
                0 => 1.0,
                word => f64::from(avoid.row(word as u32 - 1)[row]),
            };
        }
    }
    orthonormal(&directions)
}

/// How many directions the rows stay out of: the words' and the one that a
/// layer norm removes, at most half of all.
fn n_avoided(avoid: &Table) -> usize {
    (avoid.n_rows() + 1).min(avoid.width() / 2)
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
            for &item in items {
                by_item[item as usize].push(user as u32);
            }
        }
        Self {
            by_user,
            user_degrees: degrees(by_user),
            item_degrees: degrees(&by_item),
            by_item,
        }
    }

    /// The product `A · right`. Shapes: `[items, n]` → `[users, n]`.
    fn times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(self.by_user, right, &self.user_degrees, &self.item_degrees)
    }

    /// The product `Aᵀ · right`. Shapes: `[users, n]` → `[items, n]`.
    fn transposed_times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(&self.by_item, right, &self.item_degrees, &self.user_degrees)
    }
}

/// How many interactions each user or item has.
fn degrees(lists: &[Vec<u32>]) -> Vec<f64> {
    lists.iter().map(|list| list.len() as f64).collect()
}

/// Sums the right rows that each list names, weighted by both degrees to the
/// power −½.
fn product(
    lists: &[Vec<u32>],
    right: &Mat<f64>,
    own: &[f64],
    other: &[f64],
) -> Mat<f64> {
    let n_columns = right.ncols();
    let lists = lists.par_iter().zip(own);
    let rows: Vec<Vec<f64>> = lists
        .map(|(list, degree)| {
            let mut sum = vec![0.0; n_columns];
            for &place in list {
                let place = place as usize;
                let weight = 1.0 / (degree * other[place]).sqrt();
                for (column, sum) in sum.iter_mut().enumerate() {
                    *sum += weight * right[(place, column)];
                }
            }
            sum
        })
        .collect();
    Mat::from_fn(rows.len(), n_columns, |row, column| rows[row][column])
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
    let size = (matrix.squared_norm_l2() / n).sqrt();
    let factor = f64::from(INIT_STD) / size.max(f64::MIN_POSITIVE);
    let mut values = Vec::with_capacity(matrix.nrows() * matrix.ncols());
    for row in 0..matrix.nrows() {
        for column in 0..matrix.ncols() {
            values.push((matrix[(row, column)] * factor) as f32);
        }
    }
    Table::new(values, matrix.ncols())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of users, each with items of its own.
    fn two_groups() -> Vec<Vec<u32>> {
        (0..40)
            .map(|user: u32| {
                (0..6).map(|k| (user % 2) * 10 + (user + k) % 10).collect()
            })
            .collect()
    }

    fn words(n: usize) -> Table {
        Table::new(
            (0..n * 32)
                .map(|place| (place as f32 * 0.7).sin())
                .collect(),
            32,
        )
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn items_that_go_together_start_close_together() {
        let tables =
            Spectrum::new(&two_groups(), 20, 0).tables(4, &words(3), 0);
        let row = |item| tables.items.row(item);
        let within: f32 = (1..10).map(|item| dot(&row(0), &row(item))).sum();
        let across: f32 = (10..20).map(|item| dot(&row(0), &row(item))).sum();
        assert!(within > across.abs() + 1e-4, "{within} {across}");
    }

    #[test]
    fn rows_are_orthogonal_to_the_words_of_the_prompt() {
        let words = words(3);
        let tables = Spectrum::new(&two_groups(), 20, 0).tables(4, &words, 0);
        for item in 0..20 {
            (0..3).for_each(|word| {
                assert!(
                    dot(&tables.items.row(item), &words.row(word)).abs() < 1e-6
                )
            });
            assert!(tables.items.row(item).iter().sum::<f32>().abs() < 1e-6);
        }
    }

    #[test]
    fn more_vectors_than_there_are_are_all_of_them() {
        let (spectrum, words) = (Spectrum::new(&two_groups(), 20, 0), words(3));
        assert_eq!(spectrum.n_vectors(&words), 20);
        assert_eq!(
            spectrum.tables(128, &words, 0),
            spectrum.tables(20, &words, 0)
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        let tables =
            || Spectrum::new(&two_groups(), 20, 3).tables(4, &words(3), 3);
        assert_eq!(tables(), tables());
    }
}
