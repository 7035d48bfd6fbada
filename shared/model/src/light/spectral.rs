//! A start for the tables that already knows which items go together: the
//! leading singular vectors of the degree-normalised interactions, and of the
//! words of the items' texts beside them.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::reading::item_words::{InItem, ItemWords};
use crate::tokens::fresh_rows::INIT_STD;
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;

/// The most singular vectors that are computed.
const MOST: usize = 128;
/// Extra directions of the randomised iteration, for accuracy.
const OVERSAMPLING: usize = 10;
/// How many power iterations there are.
const N_ITERATIONS: usize = 8;

/// What is factorised: who took which item and, where texts are read, which
/// words each item has.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Each user's items.
    pub histories: &'a [Vec<u32>],
    /// Each item's words; rows for the whole catalogue.
    pub words: &'a ItemWords,
    /// How much the words count next to the interactions, γ; 0: not at all.
    pub text_strength: f64,
}

/// The leading singular vectors of `D_u^-½ R D_i^-½` on top of
/// `γ^½ Tᵀ D_i^-½`, where T are the items' words: left ones for the users, right
/// ones times the square root of the item's degree for the items. The same for
/// the same seed.
///
/// So the right vectors are those of `D_i^-½ (Rᵀ D_u⁻¹ R + γ T Tᵀ) D_i^-½`: what
/// a text says counts less the more interactions an item has, and an item
/// without any has a row too.
#[derive(Debug)]
pub struct Spectrum {
    /// The vectors of the users `[users, vectors]`.
    users: Mat<f64>,
    /// The vectors of the items `[items, vectors]`.
    items: Mat<f64>,
}

impl Spectrum {
    /// Computes up to 128 vectors by randomised subspace iteration.
    pub fn new(matrix: &Matrix<'_>, seed: u64) -> Self {
        let item_degrees = item_degrees(matrix);
        let sparse = Sparse::new(matrix, &item_degrees);
        let n_items = sparse.columns.len();
        let n_users = matrix.histories.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n_most = n_items.min(sparse.rows.len());
        let n_vectors = n_most.min(MOST + OVERSAMPLING);

        let start = normal(n_items, n_vectors, &mut rng);
        let mut basis = orthonormal(&start); // [items, vectors]
        for _ in 0..N_ITERATIONS {
            let rows = sparse.times(&basis); // [users and words, vectors]
            basis = orthonormal(&sparse.transposed_times(&rows));
        }

        let projected = sparse.times(&basis); // [users and words, vectors]
        let svd = projected
            .thin_svd()
            .expect("the singular values of a finite matrix converge");
        let mut items = &basis * svd.V(); // [items, vectors]
        for (item, degree) in item_degrees.iter().enumerate() {
            let length = degree.max(1.0).sqrt();
            for entry in items.row_mut(item).iter_mut() {
                *entry *= length;
            }
        }

        Self {
            users: svd.U().subrows(0, n_users).to_owned(),
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

/// A sparse matrix, by row and by column.
struct Sparse {
    rows: Vec<Vec<Entry>>,
    columns: Vec<Vec<Entry>>,
}

/// An entry of a row or a column that is not zero.
#[derive(Clone, Copy)]
struct Entry {
    place: u32,
    value: f32,
}

impl Sparse {
    /// A row for each user, then one for each word; a column for each item.
    fn new(matrix: &Matrix<'_>, item_degrees: &[f64]) -> Self {
        let n_items = matrix.words.n_items();
        let mut rows = of_users(matrix.histories, item_degrees);
        if matrix.text_strength > 0.0 {
            rows.extend(of_words(matrix, item_degrees));
        }
        let mut columns = vec![Vec::new(); n_items];
        for (row, entries) in (0u32..).zip(&rows) {
            for &Entry { place, value } in entries {
                columns[place as usize].push(Entry { place: row, value });
            }
        }
        Self { rows, columns }
    }

    /// The product `A · right`. Shapes: `[items, n]` → `[rows, n]`.
    fn times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(&self.rows, right)
    }

    /// The product `Aᵀ · right`. Shapes: `[rows, n]` → `[items, n]`.
    fn transposed_times(&self, right: &Mat<f64>) -> Mat<f64> {
        product(&self.columns, right)
    }
}

/// The rows of the users: each interaction counts the root of one over both
/// degrees.
fn of_users(histories: &[Vec<u32>], item_degrees: &[f64]) -> Vec<Vec<Entry>> {
    let mut rows = Vec::with_capacity(histories.len());
    for history in histories {
        let own = history.len() as f64;
        let entries = history.iter().map(|&place| {
            let degree = item_degrees[place as usize];
            let value = (1.0 / (own * degree).sqrt()) as f32;
            Entry { place, value }
        });
        rows.push(entries.collect());
    }
    rows
}

/// The rows of the words: each counts as much as in the item's text, over the
/// root of the item's degree. So a text tells most of an item that few have
/// taken.
fn of_words(matrix: &Matrix<'_>, item_degrees: &[f64]) -> Vec<Vec<Entry>> {
    let mut rows = Vec::new();
    for items in matrix.words.items_with() {
        let mut entries = Vec::with_capacity(items.len());
        for InItem { item, weight } in items {
            let degree = item_degrees[item as usize].max(1.0);
            let value = weight * (matrix.text_strength / degree).sqrt();
            entries.push(Entry {
                place: item,
                value: value as f32,
            });
        }
        rows.push(entries);
    }
    rows
}

/// How many interactions each item has.
fn item_degrees(matrix: &Matrix<'_>) -> Vec<f64> {
    let mut degrees = vec![0.0; matrix.words.n_items()];
    for &item in matrix.histories.iter().flatten() {
        degrees[item as usize] += 1.0;
    }
    degrees
}

/// Sums the rows of `right` that each list names, times the entries' values.
fn product(lists: &[Vec<Entry>], right: &Mat<f64>) -> Mat<f64> {
    let n_columns = right.ncols();
    // A row is read at a time, and matrices lie in memory by columns.
    let mut by_row = vec![0.0; right.nrows() * n_columns];
    for column in 0..n_columns {
        for (row, value) in right.col(column).iter().enumerate() {
            by_row[row * n_columns + column] = *value;
        }
    }

    let rows = lists.par_iter().map(|entries| {
        let mut sum = vec![0.0; n_columns];
        for entry in entries {
            let value = f64::from(entry.value);
            let start = entry.place as usize * n_columns;
            let row = &by_row[start..start + n_columns];
            for (sum, other) in sum.iter_mut().zip(row) {
                *sum += value * other;
            }
        }
        sum
    });
    let rows: Vec<Vec<f64>> = rows.collect();
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
    use crate::reading::words::WordCounter;

    /// Two groups of users, each with items of its own.
    fn two_groups() -> Vec<Vec<u32>> {
        (0..40)
            .map(|user: u32| {
                (0..6).map(|k| (user % 2) * 10 + (user + k) % 10).collect()
            })
            .collect()
    }

    fn spectrum(seed: u64) -> Spectrum {
        let matrix = Matrix {
            histories: &two_groups(),
            words: &ItemWords::none(20),
            text_strength: 0.0,
        };
        Spectrum::new(&matrix, seed)
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
        let tables = spectrum(0).tables(4, &words(3), 0);
        let row = |item| tables.items.row(item);
        let within: f32 = (1..10).map(|item| dot(&row(0), &row(item))).sum();
        let across: f32 = (10..20).map(|item| dot(&row(0), &row(item))).sum();
        assert!(within > across.abs() + 1e-4, "{within} {across}");
    }

    #[test]
    fn an_item_that_nobody_took_starts_close_to_those_that_its_text_is_like() {
        let mut counter = WordCounter::new(21);
        for item in [0, 1, 2, 20] {
            counter.add_text(item, "guitar strings");
        }
        for item in [10, 11, 12] {
            counter.add_text(item, "snare drum");
        }
        let matrix = Matrix {
            histories: &two_groups(),
            words: &ItemWords::of(&counter.finish()),
            text_strength: 1.0,
        };
        let tables = Spectrum::new(&matrix, 0).tables(4, &words(3), 0);
        assert_eq!((tables.users.n_rows(), tables.items.n_rows()), (40, 21));
        let row = |item| tables.items.row(item);
        let own: f32 = (0..10).map(|item| dot(&row(20), &row(item))).sum();
        let other: f32 = (10..20).map(|item| dot(&row(20), &row(item))).sum();
        assert!(own > other.abs() + 1e-4, "{own} {other}");
    }

    #[test]
    fn rows_are_orthogonal_to_the_words_of_the_prompt() {
        let words = words(3);
        let tables = spectrum(0).tables(4, &words, 0);
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
        let (spectrum, words) = (spectrum(0), words(3));
        assert_eq!(spectrum.n_vectors(&words), 20);
        assert_eq!(
            spectrum.tables(128, &words, 0),
            spectrum.tables(20, &words, 0)
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        let tables = || spectrum(3).tables(4, &words(3), 3);
        assert_eq!(tables(), tables());
    }
}
