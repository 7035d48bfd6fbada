//! Gradients of the rows that a batch touches.

/// Gradients of some rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowGradients {
    /// Distinct row numbers, ascending.
    pub rows: Vec<u32>,
    /// The gradient of each row, K entries, row-major.
    pub values: Vec<f32>,
}

impl RowGradients {
    /// Zero gradients of some rows, which ascend.
    pub(crate) fn zeros(rows: Vec<u32>, width: usize) -> Self {
        let values = vec![0.0; rows.len() * width];
        Self { rows, values }
    }

    /// Each row and its gradient.
    pub(crate) fn iter(
        &self,
        width: usize,
    ) -> impl Iterator<Item = (u32, &[f32])> {
        let gradients = self.values.chunks_exact(width);
        self.rows.iter().copied().zip(gradients)
    }

    /// Adds to the gradient of one of the rows.
    pub(crate) fn add(&mut self, row: u32, gradient: &[f32]) {
        let place = self
            .rows
            .binary_search(&row)
            .expect("the gradients are of this row");
        let sum = &mut self.values[place * gradient.len()..][..gradient.len()];
        for (sum, value) in sum.iter_mut().zip(gradient) {
            *sum += value;
        }
    }

    /// The gradients as a full table of `n_rows`, zero elsewhere.
    #[must_use]
    pub fn dense(&self, n_rows: usize, width: usize) -> Self {
        let mut values = vec![0.0; n_rows * width];
        for (row, gradient) in self.iter(width) {
            let to = &mut values[row as usize * width..][..width];
            to.copy_from_slice(gradient);
        }
        Self {
            rows: (0..n_rows as u32).collect(),
            values,
        }
    }

    /// Adds gradients of other rows of the same table, which may be the same
    /// ones.
    pub(crate) fn add_all(&mut self, other: &Self, width: usize) {
        self.include(other.rows.iter().copied(), width);
        for (row, gradient) in other.iter(width) {
            self.add(row, gradient);
        }
    }

    /// Adds a zero gradient of each row that has none yet, and keeps the order.
    pub(crate) fn include(
        &mut self,
        rows: impl Iterator<Item = u32>,
        width: usize,
    ) {
        let missing: Vec<u32> = rows
            .filter(|row| self.rows.binary_search(row).is_err())
            .collect();
        if missing.is_empty() {
            return;
        }

        let old = std::mem::take(self);
        let mut rows = [old.rows.as_slice(), &missing].concat();
        rows.sort_unstable();
        let mut values = vec![0.0; rows.len() * width];

        let mut from = old.iter(width).peekable();
        for (&row, to) in rows.iter().zip(values.chunks_exact_mut(width)) {
            let gradient = from.next_if(|(old_row, _)| *old_row == row);
            if let Some((_, gradient)) = gradient {
                to.copy_from_slice(gradient);
            }
        }
        *self = Self { rows, values };
    }
}
