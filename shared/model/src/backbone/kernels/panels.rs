//! The inner loops of a product with packed weights (`packed.rs`), compiled for
//! the widest vectors of the machine they run on ([`pulp`]).

use std::ops::Range;

use faer::MatMut;
use pulp::{Arch, Simd, WithSimd};

use super::packed::{PackedMatrix, Packing};

/// Words that an input has in a panel: as many as the widest vectors hold.
pub(super) const WORDS: usize = 16;
/// The most outputs that a panel has.
const WIDEST: usize = 4 * WORDS;
/// Rows that are computed together: their sums, of two vectors of outputs each,
/// stay in registers.
const ROWS: usize = 6;

/// What is added to a whole number so that it is not negative.
pub(super) const OFFSET: f32 = 128.0;
/// The number 2²³, whose lowest eight bits count ones.
const TWO_TO_23: f32 = 8_388_608.0;

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
type Sums = [[f32; WIDEST]; ROWS];

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
        sums: &[[f32; WIDEST]],
    ) {
        let width = self.matrix.packing.panel_width();
        let first = panel * width;
        let start = self.outputs.start.max(first);
        let end = self.outputs.end.min(first + width);
        let columns = start - self.outputs.start..end - self.outputs.start;
        for (place, sums) in sums.iter().enumerate() {
            let row = self.to.as_mut().row_mut(first_row + place);
            let row = row
                .try_as_row_major_mut()
                .expect("the outputs of a row lie side by side");
            let row = &mut row.as_slice_mut()[columns.clone()];
            let sums = &sums[start - first..end - first];
            match self.matrix.scales.get(start..end) {
                Some(scales) => {
                    for ((to, sum), scale) in
                        row.iter_mut().zip(sums).zip(scales)
                    {
                        *to += sum * scale;
                    }
                }
                None => {
                    for (to, sum) in row.iter_mut().zip(sums) {
                        *to += sum;
                    }
                }
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

        let width = matrix.packing.panel_width();
        let panels =
            self.outputs.start / width..self.outputs.end.div_ceil(width);
        for panel in panels {
            let words = &matrix.words[panel * n_words..][..n_words];
            let blocks = input.chunks(n_together * n_inputs);
            for (number, rows) in blocks.enumerate() {
                let mut sums = [[0.0; WIDEST]; ROWS];
                let block = Block {
                    simd,
                    words,
                    rows,
                    n_inputs,
                };
                match matrix.packing {
                    Packing::Bf16 => block.sums(Halves, &mut sums),
                    Packing::Int8 => {
                        block.sums(Bytes::<0>, &mut sums);
                        block.sums(Bytes::<2>, &mut sums);
                    }
                }
                let n_rows = rows.len() / n_inputs;
                self.add_sums(panel, number * n_together, &sums[..n_rows]);
            }
        }
    }
}

/// Two weights of each word as f32.
trait Widen: Copy {
    /// The first of them, among the weights of a word.
    const FIRST: usize;

    fn widen<S: Simd>(self, simd: S, words: S::u32s) -> [S::f32s; 2];
}

/// Words of two bf16.
#[derive(Clone, Copy)]
struct Halves;

impl Widen for Halves {
    const FIRST: usize = 0;

    #[inline(always)]
    fn widen<S: Simd>(self, simd: S, words: S::u32s) -> [S::f32s; 2] {
        let low = simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(16));
        let high = simd.and_u32s(words, simd.splat_u32s(0xFFFF_0000));
        [low, high].map(|bits| simd.transmute_f32s_u32s(bits))
    }
}

/// Words of four whole numbers: the one of this number, and the next.
#[derive(Clone, Copy)]
struct Bytes<const FIRST: usize>;

impl<const FIRST: usize> Widen for Bytes<FIRST> {
    const FIRST: usize = FIRST;

    #[inline(always)]
    fn widen<S: Simd>(self, simd: S, words: S::u32s) -> [S::f32s; 2] {
        [FIRST, FIRST + 1].map(|number| {
            let shift = simd.splat_u32s(8 * number as u32);
            let byte = simd.wrapping_dyn_shr_u32s(words, shift);
            let byte = simd.and_u32s(byte, simd.splat_u32s(0xFF));
            let bits = simd.splat_u32s(TWO_TO_23.to_bits());
            let more = simd.transmute_f32s_u32s(simd.or_u32s(bits, byte));
            simd.sub_f32s(more, simd.splat_f32s(TWO_TO_23 + OFFSET))
        })
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
    /// The sums of two weights of each word, for all rows.
    #[inline(always)]
    fn sums<W: Widen>(&self, widen: W, sums: &mut Sums) {
        match self.rows.len() / self.n_inputs {
            1 => self.sums_of_rows::<W, 1>(widen, sums),
            2 => self.sums_of_rows::<W, 2>(widen, sums),
            3 => self.sums_of_rows::<W, 3>(widen, sums),
            4 => self.sums_of_rows::<W, 4>(widen, sums),
            5 => self.sums_of_rows::<W, 5>(widen, sums),
            _ => self.sums_of_rows::<W, ROWS>(widen, sums),
        }
    }

    #[inline(always)]
    fn sums_of_rows<W: Widen, const R: usize>(&self, widen: W, to: &mut Sums) {
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
                let weights = widen.widen(simd, words[vector]);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let value = simd.splat_f32s(row[input]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = simd.mul_add_f32s(value, weight, *sum);
                    }
                }
            }
            for (sums, to) in sums.iter().zip(to.iter_mut()) {
                for (number, sum) in sums.iter().enumerate() {
                    let first = (W::FIRST + number) * WORDS;
                    let first = first + vector * S::F32_LANES;
                    let to = &mut to[first..][..S::F32_LANES];
                    simd.partial_store_f32s(to, *sum);
                }
            }
        }
    }
}
