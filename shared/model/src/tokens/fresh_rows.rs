//! The rows of a table that nobody has moved yet. They are drawn when they are
//! first asked for, so that a million of them cost nothing.

use std::collections::HashMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// Standard deviation of a fresh row (reference: `nn.init.normal_(0, 0.02)`).
pub(crate) const INIT_STD: f32 = 0.02;

/// What is known of a table whose rows are not all drawn.
#[derive(Debug, Clone)]
pub(super) struct FreshRows {
    /// What a row is before it is moved.
    pub(super) initial: InitialRow,
    /// The place of each moved row among the moved ones.
    pub(super) places: HashMap<u32, usize>,
}

impl FreshRows {
    /// All rows of a table, none of them moved.
    pub(super) fn all(initial: InitialRow) -> Self {
        Self {
            initial,
            places: HashMap::new(),
        }
    }

    /// The moved rows by place.
    pub(super) fn moved(&self) -> Vec<u32> {
        let mut rows = vec![0; self.places.len()];
        for (&row, &place) in &self.places {
            rows[place] = row;
        }
        rows
    }
}

/// What a row is before it is moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum InitialRow {
    /// Every entry is 0.
    Zero,
    /// Entries are drawn from N(0, 0.02²).
    Normal {
        /// The seed of the whole model.
        seed: u64,
        /// The number of the table, above 0: its draws are not those of another
        /// table or of a backbone.
        stream: u32,
    },
}

impl InitialRow {
    /// Writes the entries of a row; they are the same whichever rows were drawn
    /// before.
    pub(super) fn draw(self, row: u32, values: &mut [f32]) {
        match self {
            Self::Zero => values.fill(0.0),
            Self::Normal { seed, stream } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(u64::from(stream) << 32 | u64::from(row));
                let normal = Normal::new(0.0, INIT_STD);
                let normal =
                    normal.expect("a constant standard deviation is valid");
                for value in values {
                    *value = normal.sample(&mut rng);
                }
            }
        }
    }
}

/// How a file describes a table whose rows are not all drawn.
pub(super) struct Description {
    /// Rows of the table, moved or not.
    pub(super) n_rows: usize,
    /// What a row is before it is moved.
    pub(super) initial: InitialRow,
}

impl Description {
    /// Three numbers of 64 bits, each as two halves: rows, seed and stream,
    /// which is 0 where rows begin as zeros.
    pub(super) fn numbers(&self) -> Vec<i32> {
        let (seed, stream) = match self.initial {
            InitialRow::Zero => (0, 0),
            InitialRow::Normal { seed, stream } => (seed, u64::from(stream)),
        };
        let numbers = [self.n_rows as u64, seed, stream];
        numbers.into_iter().flat_map(halves).collect()
    }

    /// Reads what [`Self::numbers`] gives; `None` where there are more or
    /// fewer.
    pub(super) fn of_numbers(numbers: &[i32]) -> Option<Self> {
        let &[n_rows, seed, stream] = numbers.as_chunks().0 else {
            return None;
        };
        let seed = joined(seed);
        let initial = match u32::try_from(joined(stream)).unwrap_or(0) {
            0 => InitialRow::Zero,
            stream => InitialRow::Normal { seed, stream },
        };
        Some(Self {
            n_rows: joined(n_rows) as usize,
            initial,
        })
    }
}

/// The low and the high half of a number.
fn halves(number: u64) -> [i32; 2] {
    [number as u32, (number >> 32) as u32].map(u32::cast_signed)
}

/// The number with these halves, the low one first.
fn joined(halves: [i32; 2]) -> u64 {
    let [low, high] = halves.map(i32::cast_unsigned);
    u64::from(high) << 32 | u64::from(low)
}
