//! What is learned: two pairs of user and item tables, as f32 rows on the host.
//!
//! They stay on the host because gradients and optimisers on a device are dense: a step would cost as much as all
//! users together. A step gathers the rows it needs.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::Error;
use crate::tensors::{NamedTensor, TensorFile};

/// Standard deviation of a fresh row (reference: `nn.init.normal_(0, 0.02)`).
pub(crate) const INIT_STD: f32 = 0.02;

/// One embedding table, row-major `[rows, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    width: usize,
    values: Vec<f32>,
}

impl Table {
    /// A table of given values.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "{} values are not rows of {width}", values.len());
        Self { width, values }
    }

    /// Rows drawn from N(0, 0.02²).
    fn normal(n_rows: usize, width: usize, seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream); // a table of its own: not the draws of another table or of a backbone
        let normal = Normal::new(0.0, INIT_STD).expect("a constant standard deviation is valid");
        Self::new((0..n_rows * width).map(|_| normal.sample(&mut rng)).collect(), width)
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
    pub fn row(&self, row: u32) -> &[f32] {
        let start = row as usize * self.width;
        &self.values[start..start + self.width]
    }

    /// All rows, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
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
        let (width, n_rows) = (self.users.width, self.users.n_rows());
        let mut mean = vec![0.0_f64; width];
        for row in self.users.values.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, &entry)| *sum += f64::from(entry));
        }
        self.users.values.extend(mean.into_iter().map(|sum| (sum / n_rows.max(1) as f64) as f32));
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
    /// Fresh rows, N(0, 0.02²), the same for the same seed.
    pub fn normal(n_users: usize, n_items: usize, width: usize, seed: u64) -> Self {
        let pair = |stream: u64| TokenTables {
            users: Table::normal(n_users, width, seed, stream),
            items: Table::normal(n_items, width, seed, stream + 1),
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
                NamedTensor::f32(format!("{prefix}{name}"), vec![table.n_rows(), table.width], &table.values)
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
