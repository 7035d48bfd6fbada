//! What is learned: two pairs of user and item tables, as f32 rows on the host.
//!
//! They stay on the host because gradients and optimisers on a device are dense: a step would cost
//! as much as all users together. A step gathers the rows it needs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::error::Error;
use crate::tensors::{NamedTensor, TensorFile};

/// Standard deviation of a fresh row (reference: `nn.init.normal_(0, 0.02)`).
pub(crate) const INIT_STD: f32 = 0.02;

/// Rows of one width: an embedding table or an optimiser's moments, row-major `[rows, width]`.
///
/// A fresh table of many rows keeps only those that were moved: a million users whose rows nobody
/// has touched cost nothing, in memory, in a copy and in a checkpoint.
#[derive(Debug, Clone)]
pub struct Table {
    width: usize,
    n_rows: usize,
    /// All rows in order; of a fresh table those that were moved, in that order.
    values: Vec<f32>,
    fresh: Option<Fresh>,
}

/// The rows that nobody has moved yet.
#[derive(Debug, Clone)]
struct Fresh {
    start: Start,
    /// Where each moved row is in `values`.
    places: HashMap<u32, usize>,
}

/// What a row is before it is moved.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Zero,
    Normal {
        seed: u64,
        /// A table of its own: not the draws of another table or of a backbone.
        stream: u32,
    },
}

impl Start {
    /// The same for the same row, whichever rows were drawn before.
    fn draw(self, row: u32, values: &mut [f32]) {
        match self {
            Self::Zero => values.fill(0.0),
            Self::Normal { seed, stream } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(u64::from(stream) << 32 | u64::from(row));
                let normal =
                    Normal::new(0.0, INIT_STD).expect("a constant standard deviation is valid");
                values
                    .iter_mut()
                    .for_each(|value| *value = normal.sample(&mut rng));
            }
        }
    }
}

impl Table {
    /// A table of given values.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        assert!(
            width > 0 && values.len().is_multiple_of(width),
            "{} values are not rows of {width}",
            values.len()
        );
        Self {
            width,
            n_rows: values.len() / width,
            values,
            fresh: None,
        }
    }

    /// Rows of N(0, 0.02²), each drawn when it is first moved.
    fn normal(n_rows: usize, width: usize, seed: u64, stream: u32) -> Self {
        Self::fresh(n_rows, width, Start::Normal { seed, stream })
    }

    /// As many rows as `other` has, zeros until they are moved.
    pub(crate) fn zeros_like(other: &Self) -> Self {
        Self::fresh(other.n_rows, other.width, Start::Zero)
    }

    fn fresh(n_rows: usize, width: usize, start: Start) -> Self {
        Self {
            width,
            n_rows,
            values: Vec::new(),
            fresh: Some(Fresh {
                start,
                places: HashMap::new(),
            }),
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Entries of a row, K.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row `[width]`.
    pub fn row(&self, row: u32) -> Cow<'_, [f32]> {
        let place = match &self.fresh {
            None => row as usize,
            Some(Fresh { start, places }) => match places.get(&row) {
                Some(&place) => place,
                None => {
                    let mut values = vec![0.0; self.width];
                    start.draw(row, &mut values);
                    return values.into();
                }
            },
        };
        self.values[place * self.width..][..self.width].into()
    }

    /// One row, to be moved.
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut [f32] {
        let Self {
            width,
            n_rows,
            values,
            fresh,
        } = self;
        assert!((row as usize) < *n_rows, "row {row} of {n_rows}");
        let place = match fresh {
            None => row as usize,
            Some(Fresh { start, places }) => *places.entry(row).or_insert_with(|| {
                let end = values.len();
                values.resize(end + *width, 0.0);
                start.draw(row, &mut values[end..]);
                end / *width
            }),
        };
        &mut values[place * *width..][..*width]
    }

    /// All rows, row-major; a copy where some are still to be drawn.
    pub fn values(&self) -> Cow<'_, [f32]> {
        let Some(fresh) = &self.fresh else {
            return (&*self.values).into();
        };
        let mut values = vec![0.0; self.n_rows * self.width];
        for (row, values) in (0..).zip(values.chunks_exact_mut(self.width)) {
            match fresh.places.get(&row) {
                Some(place) => {
                    values.copy_from_slice(&self.values[place * self.width..][..self.width])
                }
                None => fresh.start.draw(row, values),
            }
        }
        values.into()
    }

    /// All rows, to be moved.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        if self.fresh.is_some() {
            self.values = self.values().into_owned();
            self.fresh = None;
        }
        &mut self.values
    }

    /// The mean of all rows `[width]`.
    pub fn mean_row(&self) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.width];
        for row in self.rows() {
            sums.iter_mut()
                .zip(&*self.row(row))
                .for_each(|(sum, &entry)| *sum += f64::from(entry));
        }
        sums.into_iter()
            .map(|sum| (sum / self.n_rows.max(1) as f64) as f32)
            .collect()
    }

    fn rows(&self) -> Range<u32> {
        0..u32::try_from(self.n_rows).expect("row numbers are u32")
    }

    /// One more row. Returns its number.
    fn push(&mut self, values: &[f32]) -> u32 {
        let row = self.rows().end;
        self.n_rows += 1;
        match self.fresh {
            None => self.values.extend(values),
            Some(_) => self.row_mut(row).copy_from_slice(values),
        }
        row
    }

    /// The table as named tensors that [`Table::read`] reads back: of a fresh table the rows that
    /// were moved, their numbers and what the others are.
    pub(crate) fn moved(&self, name: &str) -> Vec<NamedTensor<'_>> {
        let width = self.width;
        let tensor = NamedTensor::f32(name, vec![self.values.len() / width, width], &*self.values);
        let Some(Fresh { start, places }) = &self.fresh else {
            return vec![tensor];
        };
        let mut rows = vec![0; places.len()];
        places
            .iter()
            .for_each(|(row, &place)| rows[place] = row.cast_signed());
        let [seed, stream] = match *start {
            Start::Zero => [0, 0],
            Start::Normal { seed, stream } => [seed, u64::from(stream)],
        };
        let fresh = [self.n_rows as u64, seed, stream]
            .into_iter()
            .flat_map(halves)
            .collect::<Vec<_>>();
        vec![
            tensor,
            NamedTensor::i32(format!("{name}{ROWS}"), vec![rows.len()], rows),
            NamedTensor::i32(format!("{name}{FRESH}"), vec![fresh.len()], fresh),
        ]
    }

    /// Reads the tensor of all rows, or what [`Table::moved`] makes.
    pub(crate) fn read(file: &TensorFile, name: &str) -> Result<Self, Error> {
        let malformed = |reason: String| Error::malformed(file.path(), reason);
        let (shape, values) = file.f32(name)?;
        let (found, width) = match shape[..] {
            [found, width] if width > 0 => (found, width),
            _ => {
                return Err(malformed(format!(
                    "`{name}` has shape {shape:?}, expected two dimensions"
                )));
            }
        };
        if !file.names().contains(&format!("{name}{FRESH}")) {
            return Ok(Self::new(values, width));
        }
        let (_, rows) = file.i32(&format!("{name}{ROWS}"))?;
        let (_, fresh) = file.i32(&format!("{name}{FRESH}"))?;
        let [n_rows, seed, stream] = match fresh.as_chunks().0 {
            &[a, b, c] => [a, b, c].map(whole),
            _ => {
                return Err(malformed(format!(
                    "`{name}{FRESH}` has {} numbers, expected 6",
                    fresh.len()
                )));
            }
        };
        let (n_rows, stream) = (n_rows as usize, u32::try_from(stream).unwrap_or(0));
        let places: HashMap<u32, usize> = rows
            .iter()
            .map(|row| row.cast_unsigned())
            .zip(0..)
            .collect();
        if places.len() != found || places.keys().any(|&row| row as usize >= n_rows) {
            return Err(malformed(format!(
                "`{name}{ROWS}` does not number the {found} rows of `{name}`"
            )));
        }
        let start = if stream == 0 {
            Start::Zero
        } else {
            Start::Normal { seed, stream }
        };
        Ok(Self {
            width,
            n_rows,
            values,
            fresh: Some(Fresh { start, places }),
        })
    }
}

/// Suffixes of a fresh table's tensors.
const ROWS: &str = ".rows";
const FRESH: &str = ".fresh";

fn halves(number: u64) -> [i32; 2] {
    [number as u32, (number >> 32) as u32].map(u32::cast_signed)
}

fn whole([low, high]: [i32; 2]) -> u64 {
    u64::from(high.cast_unsigned()) << 32 | u64::from(low.cast_unsigned())
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        let is_equal = |row| self.row(row) == other.row(row);
        self.width == other.width && self.n_rows == other.n_rows && self.rows().all(is_equal)
    }
}

/// The user and the item table of one language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTables {
    /// One row a user.
    pub users: Table,
    /// One row an item.
    pub items: Table,
}

impl TokenTables {
    /// The tables with one more user row, the mean of all: somebody about whom nothing is known.
    /// Returns that row.
    pub fn push_mean_user(&mut self) -> u32 {
        let mean = self.users.mean_row();
        self.users.push(&mean)
    }
}

/// Both pairs: collaborative `z^l` and content `z^c` (paper, section 3.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// `z^l`: learned from interactions; these are served.
    pub collaborative: TokenTables,
    /// `z^c`: learned from text.
    pub content: TokenTables,
}

impl Tables {
    /// Fresh rows, N(0, 0.02²), the same for the same seed; those of users are drawn when they are
    /// first moved.
    pub fn normal(n_users: usize, n_items: usize, width: usize, seed: u64) -> Self {
        let pair = |stream| {
            let mut items = Table::normal(n_items, width, seed, stream + 1);
            items.values_mut(); // every step reads all of them
            TokenTables {
                users: Table::normal(n_users, width, seed, stream),
                items,
            }
        };
        Self {
            collaborative: pair(1),
            content: pair(3),
        }
    }

    /// The tables by the names they have in `tables.safetensors`.
    fn named(&self) -> [(&'static str, &Table); 4] {
        [
            ("collaborative.items", &self.collaborative.items),
            ("collaborative.users", &self.collaborative.users),
            ("content.items", &self.content.items),
            ("content.users", &self.content.users),
        ]
    }

    /// The tables as named tensors, a prefix in front of each name.
    pub fn tensors(&self, prefix: &str) -> Vec<NamedTensor<'_>> {
        self.named()
            .into_iter()
            .map(|(name, table)| {
                NamedTensor::f32(
                    format!("{prefix}{name}"),
                    vec![table.n_rows(), table.width],
                    table.values(),
                )
            })
            .collect()
    }

    /// The same, of a fresh table only the rows that were moved.
    pub fn moved(&self, prefix: &str) -> Vec<NamedTensor<'_>> {
        self.named()
            .into_iter()
            .flat_map(|(name, table)| table.moved(&format!("{prefix}{name}")))
            .collect()
    }

    /// Reads the four tables, a prefix in front of each name, from a tensor file.
    pub fn read(file: &TensorFile, prefix: &str) -> Result<Self, Error> {
        let table = |name: &str| Table::read(file, &format!("{prefix}{name}"));
        let pair = |model: &str| {
            Ok::<_, Error>(TokenTables {
                users: table(&format!("{model}.users"))?,
                items: table(&format!("{model}.items"))?,
            })
        };
        Ok(Self {
            collaborative: pair("collaborative")?,
            content: pair("content")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_table_comes_back_from_a_file_with_the_rows_that_were_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let mut table = Table::normal(1_000_000, 3, u64::MAX - 5, 2);
        table.row_mut(999_999)[1] = 4.0;
        table.row_mut(7)[0] = -1.0;
        let mut zeros = Table::zeros_like(&table);
        zeros.row_mut(12)[2] = 5.0;
        crate::tensors::write_tensors(
            &path,
            &[table.moved("normal"), zeros.moved("zeros")].concat(),
        )
        .unwrap();
        assert!(path.metadata().unwrap().len() < 2_000);
        let file = TensorFile::open(&path).unwrap();
        for (name, expected) in [("normal", &table), ("zeros", &zeros)] {
            let read = Table::read(&file, name).unwrap();
            assert_eq!(read.n_rows(), 1_000_000);
            for row in [0, 7, 12, 13, 999_999] {
                assert_eq!(read.row(row), expected.row(row), "{name}, row {row}");
            }
        }
    }

    #[test]
    fn the_mean_user_is_one_more_row_of_any_table() {
        let users = Table::normal(4, 3, 1, 2);
        let mut drawn = users.clone();
        drawn.values_mut();
        let pair = |users: Table| TokenTables {
            items: users.clone(),
            users,
        };
        let (mut fresh, mut drawn) = (pair(users), pair(drawn));
        assert_eq!((fresh.push_mean_user(), drawn.push_mean_user()), (4, 4));
        assert_eq!(fresh.users, drawn.users);
        assert_eq!(fresh.users.n_rows(), 5);
    }

    #[test]
    fn a_fresh_row_is_the_same_whenever_it_is_drawn() {
        let (fresh, mut one_drawn, mut all_drawn) = (
            Table::normal(5, 3, 1, 2),
            Table::normal(5, 3, 1, 2),
            Table::normal(5, 3, 1, 2),
        );
        one_drawn.row_mut(3);
        all_drawn.values_mut();
        assert_eq!(fresh, one_drawn);
        assert_eq!(fresh, all_drawn);
        assert_eq!(fresh.row(3), one_drawn.row(3));
        assert_ne!(fresh.row(3), fresh.row(2));
        one_drawn.row_mut(3)[0] = 7.0;
        assert_eq!((one_drawn.row(3)[0], one_drawn.row_mut(3)[0]), (7.0, 7.0));
    }
}
