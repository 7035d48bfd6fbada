//! What is learned: two pairs of user and item tables, as f32 rows on the host.
//!
//! They stay on the host because gradients and optimisers on a device are dense: a step would cost as much as all
//! users together. A step gathers the rows it needs.

use std::borrow::Cow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::Error;
use crate::tensors::{NamedTensor, TensorFile};

/// Standard deviation of a fresh row (reference: `nn.init.normal_(0, 0.02)`).
pub(crate) const INIT_STD: f32 = 0.02;

/// One embedding table, row-major `[rows, width]`.
///
/// A fresh table of many users is drawn row by row as rows are asked for: a million users whose rows nobody has
/// touched cost address space, not memory.
#[derive(Debug, Clone)]
pub struct Table {
    width: usize,
    values: Vec<f32>,
    fresh: Option<Fresh>,
}

/// Rows that are still to be drawn.
#[derive(Debug, Clone)]
struct Fresh {
    seed: u64,
    /// A table of its own: not the draws of another table or of a backbone.
    stream: u64,
    /// Which rows hold their values.
    is_drawn: Vec<bool>,
}

impl Fresh {
    /// The same for the same row, whichever rows were drawn before.
    fn draw(&self, row: usize, values: &mut [f32]) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.stream << 32 | row as u64);
        let normal = Normal::new(0.0, INIT_STD).expect("a constant standard deviation is valid");
        values.iter_mut().for_each(|value| *value = normal.sample(&mut rng));
    }
}

impl Table {
    /// A table of given values.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "{} values are not rows of {width}", values.len());
        Self { width, values, fresh: None }
    }

    /// Rows of N(0, 0.02²), each drawn when it is first moved.
    fn normal(n_rows: usize, width: usize, seed: u64, stream: u64) -> Self {
        let fresh = Fresh { seed, stream, is_drawn: vec![false; n_rows] };
        // Zeroed memory is the system's to hand out when it is written.
        Self { width, values: vec![0.0; n_rows * width], fresh: Some(fresh) }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Entries of a row, K.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row `[width]`.
    pub fn row(&self, row: u32) -> Cow<'_, [f32]> {
        let row = row as usize;
        match &self.fresh {
            Some(fresh) if !fresh.is_drawn[row] => {
                let mut values = vec![0.0; self.width];
                fresh.draw(row, &mut values);
                values.into()
            }
            _ => self.values[row * self.width..][..self.width].into(),
        }
    }

    /// One row, to be moved.
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut [f32] {
        let row = row as usize;
        let values = &mut self.values[row * self.width..][..self.width];
        if let Some(fresh) = &mut self.fresh
            && !std::mem::replace(&mut fresh.is_drawn[row], true)
        {
            fresh.draw(row, values);
        }
        values
    }

    /// All rows, row-major; a copy where some are still to be drawn.
    pub fn values(&self) -> Cow<'_, [f32]> {
        if self.fresh.is_none() {
            return (&*self.values).into();
        }
        let mut whole = self.clone();
        whole.values_mut();
        whole.values.into()
    }

    /// The mean of all rows `[width]`.
    pub(crate) fn mean_row(&self) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.width];
        for row in self.values().chunks_exact(self.width) {
            sums.iter_mut().zip(row).for_each(|(sum, &entry)| *sum += f64::from(entry));
        }
        sums.into_iter().map(|sum| (sum / self.n_rows().max(1) as f64) as f32).collect()
    }

    /// All rows, to be moved.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        if let Some(fresh) = self.fresh.take() {
            let rows = self.values.chunks_exact_mut(self.width).zip(&fresh.is_drawn).enumerate();
            rows.filter(|(_, (_, is_drawn))| !**is_drawn).for_each(|(row, (values, _))| fresh.draw(row, values));
        }
        &mut self.values
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.width == other.width && self.values() == other.values()
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
    /// The tables with one more user row, the mean of all: somebody about whom nothing is known. Returns that row.
    pub fn push_mean_user(&mut self) -> u32 {
        self.users.values_mut(); // all of them drawn
        let (n_rows, mean) = (self.users.n_rows(), self.users.mean_row());
        self.users.values.extend(mean);
        u32::try_from(n_rows).expect("row numbers are u32")
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
    /// Fresh rows, N(0, 0.02²), the same for the same seed; those of users are drawn when they are first moved.
    pub fn normal(n_users: usize, n_items: usize, width: usize, seed: u64) -> Self {
        let pair = |stream: u64| {
            let mut items = Table::normal(n_items, width, seed, stream + 1);
            items.values_mut(); // every step reads all of them
            TokenTables { users: Table::normal(n_users, width, seed, stream), items }
        };
        Self { collaborative: pair(1), content: pair(3) }
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
                NamedTensor::f32(format!("{prefix}{name}"), vec![table.n_rows(), table.width], table.values())
            })
            .collect()
    }

    /// Reads the four tables, a prefix in front of each name, from a tensor file.
    pub fn read(file: &TensorFile, prefix: &str) -> Result<Self, Error> {
        let table = |name: &str| {
            let name = &format!("{prefix}{name}");
            let (shape, values) = file.f32(name)?;
            match shape[..] {
                [_, width] if width > 0 => Ok(Table::new(values, width)),
                _ => {
                    Err(Error::malformed(file.path(), format!("`{name}` has shape {shape:?}, expected two dimensions")))
                }
            }
        };
        let pair = |model: &str| {
            Ok::<_, Error>(TokenTables {
                users: table(&format!("{model}.users"))?,
                items: table(&format!("{model}.items"))?,
            })
        };
        Ok(Self { collaborative: pair("collaborative")?, content: pair("content")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_row_is_the_same_whenever_it_is_drawn() {
        let (fresh, mut one_drawn, mut all_drawn) =
            (Table::normal(5, 3, 1, 2), Table::normal(5, 3, 1, 2), Table::normal(5, 3, 1, 2));
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
