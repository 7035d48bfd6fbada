//! Weights that are kept in fewer bits than they are multiplied in, on flex:
//! for backbones that answer and learn nothing.
//!
//! A product of few rows takes as long as its weights take to be read. They lie
//! in panels, in the order in which a product reads them, and become f32 in
//! registers (`panels.rs`).

use std::ops::Range;

use burn::tensor::{Device, Tensor, bf16};
use faer::MatMut;
use rayon::prelude::*;

use super::flex::{Contiguous, owned};
use super::panels::{OFFSET, Part, WORDS};
use super::rows;
use crate::backbone::host::matrix;

/// The most tasks of a product: many, so that a thread that is interrupted
/// leaves its own to the others.
const MOST_TASKS: usize = 16;
/// The largest whole number that a weight becomes.
const LARGEST: f32 = 127.0;

/// What a weight is rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// 8 bits of significand: two weights a word.
    Bf16,
    /// A whole number from -127 to 127, times a scale that an output has: four
    /// weights a word.
    Int8,
}

impl Packing {
    pub(super) fn weights_per_word(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// How many neighbouring outputs a panel has.
    pub(super) fn panel_width(self) -> usize {
        WORDS * self.weights_per_word()
    }
}

/// A weight matrix `[inputs, outputs]` in panels of neighbouring outputs.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    pub(super) packing: Packing,
    pub(super) n_inputs: usize,
    /// Panel by panel, input by input, [`WORDS`] words. The weights of the
    /// first [`WORDS`] outputs of a panel are the lowest bits of these words,
    /// and so on.
    pub(super) words: Vec<u32>,
    /// What each output is multiplied with, where weights are whole numbers;
    /// else none.
    pub(super) scales: Vec<f32>,
}

impl PackedMatrix {
    /// Rounds a matrix `[inputs, outputs]`.
    pub(crate) fn new(weights: Tensor<2>, packing: Packing) -> Self {
        let [n_inputs, n_outputs] = weights.dims();
        let weights = Contiguous::of(weights);
        let scales = match packing {
            Packing::Bf16 => Vec::new(),
            Packing::Int8 => scales(weights.values(), n_outputs),
        };
        let n_panels = n_outputs.div_ceil(packing.panel_width());
        let mut matrix = Self {
            packing,
            n_inputs,
            words: vec![0; n_panels * n_inputs * WORDS],
            scales,
        };
        for (input, row) in weights.values().chunks_exact(n_outputs).enumerate()
        {
            for (output, &weight) in row.iter().enumerate() {
                let (word, shift) = matrix.place(input, output);
                matrix.words[word] |= matrix.bits(weight, output) << shift;
            }
        }
        matrix
    }

    /// The word of a weight, and by how many bits it is shifted there.
    fn place(&self, input: usize, output: usize) -> (usize, usize) {
        let width = self.packing.panel_width();
        let panel = output / width;
        let in_panel = output % width;
        let word = (panel * self.n_inputs + input) * WORDS + in_panel % WORDS;
        let bits = 32 / self.packing.weights_per_word();
        (word, in_panel / WORDS * bits)
    }

    fn bits(&self, weight: f32, output: usize) -> u32 {
        match self.packing {
            Packing::Bf16 => bf16::from_f32(weight).to_bits().into(),
            Packing::Int8 => {
                let whole = (weight / self.scales[output]).round();
                (whole + OFFSET) as u32
            }
        }
    }

    /// The memory of the weights, in bytes.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.scales)
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
            // As far as weights lie in the same places of words side by side.
            let end = (start / WORDS + 1) * WORDS;
            let end = end.min(outputs.end);
            let (word, shift) = self.place(input, start);
            let words = &self.words[word..];
            let to = &mut row[start - outputs.start..end - outputs.start];
            match self.packing {
                Packing::Bf16 => {
                    for (to, word) in to.iter_mut().zip(words) {
                        *to = f32::from_bits(word >> shift << 16);
                    }
                }
                Packing::Int8 => {
                    let scales = &self.scales[start..end];
                    for ((to, word), scale) in
                        to.iter_mut().zip(words).zip(scales)
                    {
                        let whole = (word >> shift & 0xFF) as f32 - OFFSET;
                        *to = whole * scale;
                    }
                }
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
        let width = self.packing.panel_width();
        let first = outputs.start / width;
        let n_panels = outputs.end.div_ceil(width) - first;
        let n_per_task = n_panels.div_ceil(MOST_TASKS).max(1);

        let mut parts = Vec::with_capacity(MOST_TASKS);
        let mut rest = to;
        let mut start = outputs.start;
        while start < outputs.end {
            let end = (start / width + n_per_task) * width;
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

/// The scale of each output: its largest weight becomes the largest whole
/// number.
fn scales(weights: &[f32], n_outputs: usize) -> Vec<f32> {
    let mut largest = vec![f32::MIN_POSITIVE * LARGEST; n_outputs];
    for row in weights.chunks_exact(n_outputs) {
        for (largest, weight) in largest.iter_mut().zip(row) {
            *largest = largest.max(weight.abs());
        }
    }
    largest.iter().map(|largest| largest / LARGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    use crate::backbone::host::to_vec;
    use crate::backbone::kernels::composed;

    const PACKINGS: [Packing; 2] = [Packing::Bf16, Packing::Int8];

    fn random(shape: [usize; 2]) -> Tensor<2> {
        let uniform = Distribution::Uniform(-1.0, 1.0);
        Tensor::random(shape, uniform, &Device::flex())
    }

    #[test]
    fn weights_are_rounded_to_the_nearest_that_the_bits_have() {
        for (packing, largest) in
            [(Packing::Bf16, 1.0 / 256.0), (Packing::Int8, 0.5 / 127.0)]
        {
            let weights = random([70, 131]);
            let packed = PackedMatrix::new(weights.clone(), packing);
            let found = to_vec(packed.columns(0..131, &Device::flex()));
            let exact = to_vec(weights);
            let mut n_moved = 0;
            for (found, exact) in found.iter().zip(exact) {
                assert!((found - exact).abs() <= largest, "{found} {exact}");
                n_moved += usize::from(*found != exact);
            }
            assert!(n_moved > 70, "{n_moved} of them are rounded");
        }
    }

    #[test]
    fn a_product_is_that_of_the_rounded_weights_for_any_columns() {
        for packing in PACKINGS {
            let packed = PackedMatrix::new(random([70, 131]), packing);
            for (n_rows, outputs) in
                [(1, 0..131), (15, 0..64), (7, 20..21), (40, 63..131)]
            {
                let input = random([n_rows, 70]);
                let bias = random([1, outputs.len()]);
                let columns = packed.columns(outputs.clone(), &Device::flex());
                let expected =
                    composed::add_product(bias.clone(), input.clone(), columns);
                let found = packed.product(input, outputs, Some(bias));
                assert_eq!(found.dims(), expected.dims());
                for (found, expected) in
                    to_vec(found).iter().zip(to_vec(expected))
                {
                    assert!(
                        (found - expected).abs() < 2e-5,
                        "{found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        for packing in PACKINGS {
            let packed = PackedMatrix::new(random([70, 131]), packing);
            let input = random([40, 70]);
            let together = to_vec(packed.product(input.clone(), 0..131, None));
            for (row, expected) in together.chunks_exact(131).enumerate() {
                let alone = input.clone().slice([row..row + 1, 0..70]);
                let found = packed.product(alone, 0..131, None);
                assert_eq!(to_vec(found), expected);
            }
        }
    }

    #[test]
    fn a_matrix_takes_a_half_or_a_quarter_of_its_memory() {
        let of_f32 = 128 * 256 * 4;
        let n_bytes = PACKINGS.map(|packing| {
            PackedMatrix::new(random([128, 256]), packing).n_bytes()
        });
        assert_eq!(n_bytes, [of_f32 / 2, of_f32 / 4 + 256 * 4]);
    }
}
