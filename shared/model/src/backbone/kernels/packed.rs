//! Weights in bf16 that are multiplied in f32, on flex: for backbones that
//! answer and learn nothing.
//!
//! A product of few rows takes as long as its weights take to be read. They lie
//! in panels, in the order in which a product reads them, and become f32 in
//! registers (`panels.rs`).

use std::ops::Range;

use burn::tensor::{Device, Tensor, bf16};
use faer::MatMut;
use rayon::prelude::*;

use super::flex_tensors::{Contiguous, owned};
use super::panels::{PANEL, Part, WORDS};
use super::rows;
use crate::backbone::host::matrix;

/// The most tasks of a product: many, so that a thread that is interrupted
/// leaves its own to the others.
const MOST_TASKS: usize = 16;

/// A weight matrix `[inputs, outputs]` in panels of neighbouring outputs.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    pub(super) n_inputs: usize,
    /// Panel by panel, input by input, [`WORDS`] words. The low halves of these
    /// are the weights of the panel's first [`WORDS`] outputs, the high halves
    /// those of the others.
    pub(super) words: Vec<u32>,
}

impl PackedMatrix {
    /// Rounds a matrix `[inputs, outputs]`.
    pub(crate) fn new(weights: Tensor<2>) -> Self {
        let [n_inputs, n_outputs] = weights.dims();
        let weights = Contiguous::of(weights);
        let n_panels = n_outputs.div_ceil(PANEL);
        let mut matrix = Self {
            n_inputs,
            words: vec![0; n_panels * n_inputs * WORDS],
        };
        let rows = weights.values().chunks_exact(n_outputs);
        for (input, row) in rows.enumerate() {
            for (output, &weight) in row.iter().enumerate() {
                let (word, shift) = matrix.place(input, output);
                let bits = bf16::from_f32(weight).to_bits();
                matrix.words[word] |= u32::from(bits) << shift;
            }
        }
        matrix
    }

    /// The word of a weight, and by how many bits it is shifted there.
    fn place(&self, input: usize, output: usize) -> (usize, usize) {
        let row = output / PANEL * self.n_inputs + input;
        let word = row * WORDS + output % WORDS;
        (word, output % PANEL / WORDS * 16)
    }

    /// The memory of the weights, in bytes.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Some columns of the matrix in f32 `[inputs, columns]`.
    pub(crate) fn columns(
        &self,
        outputs: Range<usize>,
        device: &Device,
    ) -> Tensor<2> {
        let n_columns = outputs.len();
        let mut values = vec![0.0; self.n_inputs * n_columns];
        let rows = values.par_chunks_exact_mut(n_columns).enumerate();
        rows.for_each(|(input, row)| {
            self.widen(input, outputs.clone(), row);
        });
        matrix(values, n_columns, device)
    }

    /// Writes the rounded weights of some outputs at an input.
    fn widen(&self, input: usize, outputs: Range<usize>, row: &mut [f32]) {
        let mut start = outputs.start;
        while start < outputs.end {
            // As far as weights lie in the same halves of words side by side.
            let end = (start / WORDS + 1) * WORDS;
            let end = end.min(outputs.end);
            let (word, shift) = self.place(input, start);
            let to = &mut row[start - outputs.start..end - outputs.start];
            for (to, word) in to.iter_mut().zip(&self.words[word..]) {
                *to = f32::from_bits(word >> shift << 16);
            }
            start = end;
        }
    }

    /// Some outputs of each row, added to `sum`. An output is the same bits
    /// whatever rows are beside it: its products are added up from the first
    /// input to the last.
    ///
    /// Shapes: `input [rows, inputs]`, `sum [rows, outputs]` or `[1, outputs]`
    /// → `[rows, outputs]`.
    pub(crate) fn product(
        &self,
        input: Tensor<2>,
        outputs: Range<usize>,
        sum: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let device = input.device();
        let [n_rows, _] = input.dims();
        let n_columns = outputs.len();
        let mut values = match sum {
            Some(sum) if sum.dims()[0] == n_rows => owned(sum),
            Some(sum) => rows::repeated(Contiguous::of(sum).values(), n_rows),
            None => vec![0.0; n_rows * n_columns],
        };
        let to =
            MatMut::from_row_major_slice_mut(&mut values, n_rows, n_columns);
        self.add_product(Contiguous::of(input).values(), outputs, to);
        matrix(values, n_columns, &device)
    }

    fn add_product(
        &self,
        input: &[f32],
        outputs: Range<usize>,
        to: MatMut<'_, f32>,
    ) {
        let first = outputs.start / PANEL;
        let n_panels = outputs.end.div_ceil(PANEL) - first;
        let n_per_task = n_panels.div_ceil(MOST_TASKS).max(1);

        let mut parts = Vec::with_capacity(MOST_TASKS);
        let mut rest = to;
        let mut start = outputs.start;
        while start < outputs.end {
            let end = (start / PANEL + n_per_task) * PANEL;
            let end = end.min(outputs.end);
            let (to, behind) = rest.split_at_col_mut(end - start);
            parts.push(Part {
                matrix: self,
                input,
                outputs: start..end,
                to,
            });
            rest = behind;
            start = end;
        }
        parts.into_par_iter().with_max_len(1).for_each(Part::add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    use crate::backbone::host::to_vec;
    use crate::backbone::kernels::composed;

    fn random(shape: [usize; 2]) -> Tensor<2> {
        let uniform = Distribution::Uniform(-1.0, 1.0);
        Tensor::random(shape, uniform, &Device::flex())
    }

    #[test]
    fn weights_are_rounded_to_the_nearest_bf16() {
        let weights = random([70, 131]);
        let packed = PackedMatrix::new(weights.clone());
        let found = to_vec(packed.columns(0..131, &Device::flex()));
        let exact = to_vec(weights);
        for (found, exact) in found.iter().zip(exact) {
            assert_eq!(*found, bf16::from_f32(exact).to_f32());
        }
    }

    #[test]
    fn a_product_is_that_of_the_rounded_weights_for_any_columns() {
        let packed = PackedMatrix::new(random([70, 131]));
        for (n_rows, outputs) in
            [(1, 0..131), (15, 0..64), (7, 20..21), (40, 63..131)]
        {
            let input = random([n_rows, 70]);
            for n_sums in [1, n_rows] {
                let sum = random([n_sums, outputs.len()]);
                let columns = packed.columns(outputs.clone(), &Device::flex());
                let expected =
                    composed::add_product(sum.clone(), input.clone(), columns);
                let found =
                    packed.product(input.clone(), outputs.clone(), Some(sum));
                assert_eq!(found.dims(), expected.dims());
                let (found, expected) = (to_vec(found), to_vec(expected));
                for (found, expected) in found.iter().zip(expected) {
                    let difference = (found - expected).abs();
                    assert!(difference < 2e-5, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let packed = PackedMatrix::new(random([70, 131]));
        let input = random([40, 70]);
        let together = to_vec(packed.product(input.clone(), 0..131, None));
        for (row, expected) in together.chunks_exact(131).enumerate() {
            let alone = input.clone().slice([row..row + 1, 0..70]);
            let found = packed.product(alone, 0..131, None);
            assert_eq!(to_vec(found), expected);
        }
    }

    #[test]
    fn a_matrix_takes_half_of_its_memory() {
        let packed = PackedMatrix::new(random([128, 256]));
        assert_eq!(packed.n_bytes(), 128 * 256 * 2);
    }
}
