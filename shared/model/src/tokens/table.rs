//! Rows of one width on the host: an embedding table, or an optimiser's
//! moments.
//!
//! They stay on the host because gradients and optimisers on a device are
//! dense: a step would cost as much as all users together. A step gathers the
//! rows it needs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::error::Error;
use crate::tensors::{NamedTensor, TensorFile};
use crate::tokens::fresh_rows::{Description, FreshRows, InitialRow};

/// Rows of one width: an embedding table or an optimiser's moments, row-major
/// `[rows, width]`.
///
/// A fresh table of many rows keeps only those that were moved: a million users
/// whose rows nobody has touched cost nothing, in memory, in a copy and in a
/// checkpoint.
#[derive(Debug, Clone)]
pub struct Table {
    width: usize,
    n_rows: usize,
    /// All rows in order; where some are fresh, those that were moved, in the
    /// order of `fresh`.
    values: Vec<f32>,
    /// What the rows are that nobody has moved; absent where all are in
    /// `values`.
    fresh: Option<FreshRows>,
}

impl Table {
    /// A table of the given row-major values.
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
    pub(crate) fn normal(
        n_rows: usize,
        width: usize,
        seed: u64,
        stream: u32,
    ) -> Self {
        Self::fresh(n_rows, width, InitialRow::Normal { seed, stream })
    }

    /// As many rows as `other` has, zeros until they are moved.
    pub(crate) fn zeros_like(other: &Self) -> Self {
        Self::fresh(other.n_rows, other.width, InitialRow::Zero)
    }

    fn fresh(n_rows: usize, width: usize, initial: InitialRow) -> Self {
        Self {
            width,
            n_rows,
            values: Vec::new(),
            fresh: Some(FreshRows::all(initial)),
        }
    }

    /// How many rows there are, moved or not.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// How many entries a row has, K.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The entries of one row `[width]`.
    pub fn row(&self, row: u32) -> Cow<'_, [f32]> {
        let Some(fresh) = &self.fresh else {
            return self.stored(row as usize).into();
        };
        if let Some(&place) = fresh.places.get(&row) {
            return self.stored(place).into();
        }
        let mut values = vec![0.0; self.width];
        fresh.initial.draw(row, &mut values);
        values.into()
    }

    /// Copies of some rows, one after the other, row-major.
    pub(crate) fn gather(&self, rows: &[u32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows.len() * self.width);
        for &row in rows {
            values.extend_from_slice(&self.row(row));
        }
        values
    }

    fn stored(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..][..self.width]
    }

    /// The entries of one row, to be moved.
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
            Some(FreshRows { initial, places }) => {
                *places.entry(row).or_insert_with(|| {
                    let end = values.len();
                    values.resize(end + *width, 0.0);
                    initial.draw(row, &mut values[end..]);
                    end / *width
                })
            }
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
                Some(&place) => values.copy_from_slice(self.stored(place)),
                None => fresh.initial.draw(row, values),
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
            for (sum, &entry) in sums.iter_mut().zip(&*self.row(row)) {
                *sum += f64::from(entry);
            }
        }
        let n = self.n_rows.max(1) as f64;
        sums.into_iter().map(|sum| (sum / n) as f32).collect()
    }

    fn rows(&self) -> Range<u32> {
        0..u32::try_from(self.n_rows).expect("row numbers are u32")
    }

    /// Adds a row at the end. Returns its number.
    pub(crate) fn push(&mut self, values: &[f32]) -> u32 {
        let row = self.rows().end;
        self.n_rows += 1;
        match self.fresh {
            None => self.values.extend(values),
            Some(_) => self.row_mut(row).copy_from_slice(values),
        }
        row
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        if self.width != other.width || self.n_rows != other.n_rows {
            return false;
        }
        self.rows().all(|row| self.row(row) == other.row(row))
    }
}

/// What follows a table's name in the name of the tensor that numbers its moved
/// rows.
const ROWS: &str = ".rows";
/// What follows a table's name in the name of the tensor that describes its
/// fresh rows.
const FRESH: &str = ".fresh";

impl Table {
    /// The table as named tensors that [`Table::read`] reads back: of a fresh
    /// table the rows that were moved, their numbers and what the others are.
    pub(crate) fn moved(&self, name: &str) -> Vec<NamedTensor<'_>> {
        let n_stored = self.values.len() / self.width;
        let shape = vec![n_stored, self.width];
        let values = NamedTensor::f32(name, shape, &*self.values);
        let Some(fresh) = &self.fresh else {
            return vec![values];
        };

        let description = Description {
            n_rows: self.n_rows,
            initial: fresh.initial,
        };
        let moved = fresh.moved();
        let rows = moved.into_iter().map(u32::cast_signed).collect();
        vec![
            values,
            integers(format!("{name}{ROWS}"), rows),
            integers(format!("{name}{FRESH}"), description.numbers()),
        ]
    }

    /// Reads the tensor of all rows, or what [`Table::moved`] makes.
    pub(crate) fn read(file: &TensorFile, name: &str) -> Result<Self, Error> {
        let (shape, values) = file.f32(name)?;
        let (n_stored, width) = match shape[..] {
            [n_stored, width] if width > 0 => (n_stored, width),
            _ => {
                let reason = format!(
                    "`{name}` has shape {shape:?}, expected two dimensions"
                );
                return Err(Error::malformed(file.path(), reason));
            }
        };

        if !file.names().contains(&format!("{name}{FRESH}")) {
            return Ok(Self::new(values, width));
        }

        let description = read_description(file, &format!("{name}{FRESH}"))?;
        let n_rows = description.n_rows;

        let (_, rows) = file.i32(&format!("{name}{ROWS}"))?;
        let rows = rows.into_iter().map(i32::cast_unsigned);
        let places: HashMap<u32, usize> = rows.zip(0..).collect();
        let is_outside = places.keys().any(|&row| row as usize >= n_rows);
        if places.len() != n_stored || is_outside {
            let reason = format!(
                "`{name}{ROWS}` does not number the {n_stored} rows of `{name}`"
            );
            return Err(Error::malformed(file.path(), reason));
        }

        let fresh = FreshRows {
            initial: description.initial,
            places,
        };
        Ok(Self {
            width,
            n_rows,
            values,
            fresh: Some(fresh),
        })
    }
}

fn integers(name: String, values: Vec<i32>) -> NamedTensor<'static> {
    NamedTensor::i32(name, vec![values.len()], values)
}

fn read_description(
    file: &TensorFile,
    name: &str,
) -> Result<Description, Error> {
    let (_, numbers) = file.i32(name)?;
    Description::of_numbers(&numbers).ok_or_else(|| {
        let reason =
            format!("`{name}` has {} numbers, expected 6", numbers.len());
        Error::malformed(file.path(), reason)
    })
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
                assert_eq!(
                    read.row(row),
                    expected.row(row),
                    "{name}, row {row}"
                );
            }
        }
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
