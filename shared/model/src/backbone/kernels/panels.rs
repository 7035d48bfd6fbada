//! The inner loops of a product with packed weights (`packed.rs`), compiled for
//! the widest vectors of the machine they run on ([`pulp`]).

use std::ops::Range;

use faer::MatMut;
use pulp::{Arch, Simd, WithSimd};

use super::packed::PackedMatrix;

/// Words that an input has in a panel: as many as the widest vectors hold.
pub(super) const WORDS: usize = 16;
/// Neighbouring outputs of a panel: two in a word.
pub(super) const PANEL: usize = 2 * WORDS;
/// Rows that are computed together: their sums, of two vectors of outputs each,
/// stay in registers.
const ROWS: usize = 6;

/// Some outputs of a product, and where they go.
pub(super) struct Part<'a> {
    pub(super) matrix: &'a PackedMatrix,
    /// `[rows, inputs]`
    pub(super) input: &'a [f32],
    pub(super) outputs: Range<usize>,
    /// What the product is added to `[rows, outputs]`.
    pub(super) to: MatMut<'a, f32>,
}

/// The sums of a block of rows over a panel `[rows][outputs]`.
type Sums = [[f32; PANEL]; ROWS];

impl Part<'_> {
    /// Adds the product to what is there.
    pub(super) fn add(self) {
        Arch::new().dispatch(self);
    }

    /// Adds the sums of a panel, as far as its outputs are wanted.
    #[inline(always)]
    fn add_sums(
        &mut self,
        panel: usize,
        first_row: usize,
        sums: &[[f32; PANEL]],
    ) {
        let first = panel * PANEL;
        let start = self.outputs.start.max(first);
        let end = self.outputs.end.min(first + PANEL);
        let columns = start - self.outputs.start..end - self.outputs.start;
        for (place, sums) in sums.iter().enumerate() {
            let row = self.to.as_mut().row_mut(first_row + place);
            let row = row
                .try_as_row_major_mut()
                .expect("the outputs of a row lie side by side");
            let row = &mut row.as_slice_mut()[columns.clone()];
            let sums = &sums[start - first..end - first];
            for (to, sum) in row.iter_mut().zip(sums) {
                *to += sum;
            }
        }
    }
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (matrix, input) = (self.matrix, self.input);
        let n_inputs = matrix.n_inputs;
        let n_words = n_inputs * WORDS;
        // Blocks of about the same size: 15 rows are three of 5.
        let n_rows = input.len() / n_inputs;
        let n_blocks = n_rows.div_ceil(ROWS).max(1);
        let n_together = n_rows.div_ceil(n_blocks).max(1);

        let panels =
            self.outputs.start / PANEL..self.outputs.end.div_ceil(PANEL);
        for panel in panels {
            let words = &matrix.words[panel * n_words..][..n_words];
            let blocks = input.chunks(n_together * n_inputs);
            for (number, rows) in blocks.enumerate() {
                let block = Block {
                    simd,
                    words,
                    rows,
                    n_inputs,
                };
                let mut sums = [[0.0; PANEL]; ROWS];
                block.sums(&mut sums);
                let n_rows = rows.len() / n_inputs;
                self.add_sums(panel, number * n_together, &sums[..n_rows]);
            }
        }
    }
}

/// Some rows of a product, and the panel that they are multiplied with.
struct Block<'a, S> {
    simd: S,
    words: &'a [u32],
    /// `[rows, inputs]`
    rows: &'a [f32],
    n_inputs: usize,
}

impl<S: Simd> Block<'_, S> {
    #[inline(always)]
    fn sums(&self, sums: &mut Sums) {
        match self.rows.len() / self.n_inputs {
            1 => self.sums_of_rows::<1>(sums),
            2 => self.sums_of_rows::<2>(sums),
            3 => self.sums_of_rows::<3>(sums),
            4 => self.sums_of_rows::<4>(sums),
            5 => self.sums_of_rows::<5>(sums),
            _ => self.sums_of_rows::<ROWS>(sums),
        }
    }

    #[inline(always)]
    fn sums_of_rows<const R: usize>(&self, to: &mut Sums) {
        let simd = self.simd;
        let n = self.n_inputs;
        let rows: [&[f32]; R] =
            std::array::from_fn(|place| &self.rows[place * n..][..n]);
        let (words, _) = S::as_simd_u32s(self.words);
        let n_vectors = WORDS / S::F32_LANES;
        for vector in 0..n_vectors {
            let mut sums = [[simd.splat_f32s(0.0); 2]; R];
            let inputs = words.chunks_exact(n_vectors);
            for (input, words) in (0..n).zip(inputs) {
                let weights = self.widened(words[vector]);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let value = simd.splat_f32s(row[input]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = simd.mul_add_f32s(value, weight, *sum);
                    }
                }
            }
            for (sums, to) in sums.iter().zip(to.iter_mut()) {
                for (half, sum) in sums.iter().enumerate() {
                    let first = half * WORDS + vector * S::F32_LANES;
                    let to = &mut to[first..][..S::F32_LANES];
                    simd.partial_store_f32s(to, *sum);
                }
            }
        }
    }

    /// The low and the high halves of words as f32.
    #[inline(always)]
    fn widened(&self, words: S::u32s) -> [S::f32s; 2] {
        let simd = self.simd;
        let low = simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(16));
        let high = simd.and_u32s(words, simd.splat_u32s(0xFFFF_0000));
        [
            simd.transmute_f32s_u32s(low),
            simd.transmute_f32s_u32s(high),
        ]
    }
}
