//! Loops over the rows of f32 matrices. Each is compiled for the widest vectors
//! of the machine it runs on ([`pulp`]), and parallel over rows; a row is
//! summed in the same order whatever the number of threads.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::tensor::bf16;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// How many values are worth a task of their own.
const MIN_VALUES: usize = 16 * 1024;

fn rows_per_task(width: usize) -> usize {
    (MIN_VALUES / width.max(1)).max(1)
}

/// In how many lanes a sum is kept: enough for two vectors of sixteen.
const LANES: usize = 32;

/// Sums `f(x, y)` over the entries of two rows.
#[inline(always)]
fn sum_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (whole_x, rest_x) = x.as_chunks::<LANES>();
    let (whole_y, rest_y) = y.as_chunks::<LANES>();
    for (x, y) in whole_x.iter().zip(whole_y) {
        for lane in 0..LANES {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    let rest: f32 = rest_x.iter().zip(rest_y).map(|(&x, &y)| f(x, y)).sum();
    sum_of_lanes(sums) + rest
}

/// Adds the lanes up in halves: one after the other would take as long as a row
/// of 256.
#[inline(always)]
fn sum_of_lanes<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut n = N / 2;
    while n > 0 {
        for lane in 0..n {
            lanes[lane] += lanes[lane + n];
        }
        n /= 2;
    }
    lanes[0]
}

/// The numbers that a matrix may be made of.
pub(crate) trait Number: Copy + Sync {
    /// The same values in f32, in `memory` where they have to be made.
    fn widened<'a>(values: &'a [Self], memory: &'a mut Vec<f32>) -> &'a [f32];
}

impl Number for f32 {
    #[inline(always)]
    fn widened<'a>(values: &'a [Self], _memory: &'a mut Vec<f32>) -> &'a [f32] {
        values
    }
}

impl Number for bf16 {
    /// Widens by hand: the library's conversion asks each number whether it is
    /// NaN, which those of tables are not.
    #[inline(always)]
    fn widened<'a>(values: &'a [Self], memory: &'a mut Vec<f32>) -> &'a [f32] {
        memory.clear();
        memory.extend(
            values
                .iter()
                .map(|value| f32::from_bits(u32::from(value.to_bits()) << 16)),
        );
        memory
    }
}

/// From how many values on a matrix is shared by all cores: below, handing work
/// out costs more than it saves.
const LARGE: usize = 1 << 22;
/// How many values the rows of a task have.
const VALUES_PER_TASK: usize = 1 << 18;

/// Inner products of each row of a matrix with each of some states, read once
/// for all of them; a product is the same bits alone or among others. Faer's
/// product packs the matrix first, which costs more than a product with one
/// state.
///
/// Shapes: `rows [n, width]`, `states [states, width]` → `[states, n]`.
pub(crate) fn products<N: Number>(rows: &[N], states: &[f32], width: usize) -> Vec<f32> {
    if rows.len() < LARGE {
        return products_on_one_core(rows, states, width);
    }
    let n_rows = rows.len() / width;
    let n_states = states.len() / width;
    let n_per_task = (VALUES_PER_TASK / width).max(1);

    let tasks: Vec<Vec<f32>> = rows
        .par_chunks(n_per_task * width)
        .map(|rows| products_on_one_core(rows, states, width))
        .collect();

    let mut products = vec![0.0; n_rows * n_states];
    for (of_state, number) in products.chunks_exact_mut(n_rows).zip(0..) {
        let mut to = of_state;
        for of_task in &tasks {
            let n: usize = of_task.len() / n_states;
            let (here, rest) = to.split_at_mut(n);
            here.copy_from_slice(&of_task[number * n..][..n]);
            to = rest;
        }
    }
    products
}

/// The products of some rows with all states `[states, rows]`.
fn products_on_one_core<N: Number>(rows: &[N], states: &[f32], width: usize) -> Vec<f32> {
    let n_rows = rows.len() / width;
    let n_states = states.len() / width;
    let mut products = vec![0.0; n_rows * n_states];
    Arch::new().dispatch(Products {
        rows,
        states,
        width,
        products: &mut products,
    });
    products
}

/// Rows of a block. Eight sums stay in registers, and each number that is read
/// is used twice or four times. 16 states on a million rows of 768, two cores:
/// 970 ms with a state and a row at a time, 449 ms in blocks.
const ROWS: usize = 4;
/// States of a block.
const STATES: usize = 2;

/// The products of some rows with all states. Vectors are named: the compiler
/// finds no vectors in a block of sums by itself.
struct Products<'a, N> {
    rows: &'a [N],
    states: &'a [f32],
    width: usize,
    /// Where the products are written to `[states, rows]`.
    products: &'a mut [f32],
}

/// The row of a matrix at a place.
#[inline(always)]
fn row_at(matrix: &[f32], place: usize, width: usize) -> &[f32] {
    &matrix[place * width..][..width]
}

impl<N: Number> WithSimd for Products<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            rows,
            states,
            width,
            products,
        } = self;
        let n = rows.len() / width;
        let n_states = states.len() / width;
        let even = n_states - n_states % STATES;
        let mut memory = Vec::new();
        for (number, rows) in rows.chunks(ROWS * width).enumerate() {
            let first = number * ROWS;
            let rows = N::widened(rows, &mut memory);
            if rows.len() < ROWS * width {
                for place in 0..rows.len() / width {
                    let row = row_at(rows, place, width);
                    for number in 0..n_states {
                        let state = row_at(states, number, width);
                        let [[sum]] = block(simd, [row], [state]);
                        products[number * n + first + place] = sum;
                    }
                }
                continue;
            }

            let four = [
                row_at(rows, 0, width),
                row_at(rows, 1, width),
                row_at(rows, 2, width),
                row_at(rows, 3, width),
            ];

            for number in (0..even).step_by(STATES) {
                let state = row_at(states, number, width);
                let next = row_at(states, number + 1, width);
                let sums = block(simd, four, [state, next]);
                for (place, [one, other]) in sums.into_iter().enumerate() {
                    products[number * n + first + place] = one;
                    products[(number + 1) * n + first + place] = other;
                }
            }

            for number in even..n_states {
                let state = row_at(states, number, width);
                let sums = block(simd, four, [state]);
                for (place, [sum]) in sums.into_iter().enumerate() {
                    products[number * n + first + place] = sum;
                }
            }
        }
    }
}

/// The inner product of each row with each state; it sums in the same order in
/// a block of any size.
#[inline(always)]
fn block<V: Simd, const R: usize, const S: usize>(
    simd: V,
    rows: [&[f32]; R],
    states: [&[f32]; S],
) -> [[f32; S]; R] {
    let rows = rows.map(V::as_simd_f32s);
    let states = states.map(V::as_simd_f32s);
    let n = rows[0].0.len();
    let whole_rows = rows.map(|row| &row.0[..n]);
    let whole_states = states.map(|state| &state.0[..n]);

    let mut sums = [[simd.splat_f32s(0.0); S]; R];
    for place in 0..n {
        for (sums, row) in sums.iter_mut().zip(whole_rows) {
            for (sum, state) in sums.iter_mut().zip(whole_states) {
                *sum = simd.mul_add_f32s(row[place], state[place], *sum);
            }
        }
    }

    let mut products = [[0.0; S]; R];
    for (r, products) in products.iter_mut().enumerate() {
        for (s, product) in products.iter_mut().enumerate() {
            let rest = rows[r].1.iter().zip(states[s].1).map(|(x, y)| x * y);
            *product = simd.reduce_sum_f32s(sums[r][s]) + rest.sum::<f32>();
        }
    }
    products
}

/// Computes eˣ to 2 units in the last place (Cephes `expf`): a polynomial
/// around the nearest multiple of ln 2. The library's is a call for each value;
/// this is vectorised.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer, in the low bits
    let x = x.clamp(-87.3, 88.7);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    (p * r * r + r + 1.0) * power
}

/// The factor 2 √(2/π) in `gelu(x) = x · sigmoid(SLOPE · (x + CUBIC · x³))`.
const SLOPE: f32 = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// The factor of the cube there.
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn sigmoid_of_gelu(x: f32) -> f32 {
    1.0 / (1.0 + exp(-SLOPE * x * (1.0 + CUBIC * x * x)))
}

pub(super) fn gelu(input: &[f32], output: &mut [f32]) {
    output
        .par_chunks_mut(MIN_VALUES)
        .zip(input.par_chunks(MIN_VALUES))
        .for_each(|(output, input)| {
            Arch::new().dispatch(|| {
                output
                    .iter_mut()
                    .zip(input)
                    .for_each(|(y, &x)| *y = x * sigmoid_of_gelu(x))
            });
        });
}

/// Multiplies a gradient by `gelu'(input)`, in its place.
pub(super) fn gelu_backward(input: &[f32], gradient: &mut [f32]) {
    gradient
        .par_chunks_mut(MIN_VALUES)
        .zip(input.par_chunks(MIN_VALUES))
        .for_each(|(gradient, input)| {
            Arch::new().dispatch(|| {
                for (g, &x) in gradient.iter_mut().zip(input) {
                    let sigmoid = sigmoid_of_gelu(x);
                    *g *= sigmoid
                        + x * sigmoid * (1.0 - sigmoid) * SLOPE * (1.0 + 3.0 * CUBIC * x * x);
                }
            });
        });
}

/// A matrix of the same row `n_rows` times.
pub(super) fn repeated(row: &[f32], n_rows: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(row.len() * n_rows);
    (0..n_rows).for_each(|_| values.extend_from_slice(row));
    values
}

/// The weights of a layer norm.
pub(super) struct Norm<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) epsilon: f32,
}

impl Norm<'_> {
    /// The mean of a row, and one over its standard deviation.
    #[inline(always)]
    fn moments(&self, row: &[f32]) -> (f32, f32) {
        let width = row.len() as f32;
        let mean = sum_of(row, row, |x, _| x) / width;
        let variance = sum_of(row, row, |x, _| (x - mean) * (x - mean)) / width;
        (mean, 1.0 / (variance + self.epsilon).sqrt())
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        let width = self.gamma.len();
        let rows = output.par_chunks_mut(width).zip(input.par_chunks(width));
        rows.with_min_len(rows_per_task(width))
            .for_each(|(output, input)| {
                Arch::new().dispatch(|| {
                    let (mean, scale) = self.moments(input);
                    let weights = self.gamma.iter().zip(self.beta);
                    for ((y, &x), (&gamma, &beta)) in output.iter_mut().zip(input).zip(weights) {
                        *y = (x - mean) * scale * gamma + beta;
                    }
                });
            });
    }

    /// Writes the input's gradient in the place of the output's.
    pub(super) fn backward(&self, input: &[f32], gradient: &mut [f32]) {
        let width = self.gamma.len();
        let rows = gradient.par_chunks_mut(width).zip(input.par_chunks(width));
        rows.with_min_len(rows_per_task(width))
            .for_each(|(gradient, input)| {
                Arch::new().dispatch(|| {
                    let (mean, scale) = self.moments(input);
                    gradient
                        .iter_mut()
                        .zip(self.gamma)
                        .for_each(|(g, &gamma)| *g *= gamma);
                    let average = sum_of(gradient, gradient, |g, _| g) / width as f32;
                    let along =
                        sum_of(gradient, input, |g, x| g * (x - mean)) * scale / width as f32;
                    for (g, &x) in gradient.iter_mut().zip(input) {
                        *g = (*g - average - (x - mean) * scale * along) * scale;
                    }
                });
            });
    }
}

/// Makes `e^(x − highest)` of a row, in place. Returns the highest entry and
/// the sum of the exponentials.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - highest));
    (highest, sum_of(row, row, |x, _| x))
}

/// Makes the softmax of a row, in place. Returns the logarithm of the
/// denominator.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) -> f32 {
    let (highest, sum) = exponentials(row);
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= scale);
    highest + sum.ln()
}

/// Makes the exponentials of each row, in place. Returns each row's highest
/// entry and the sum of its exponentials.
pub(super) fn exponentials_of_rows(values: &mut [f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = values
        .par_chunks_mut(width)
        .with_min_len(rows_per_task(width));
    rows.map(|row| Arch::new().dispatch(|| exponentials(row)))
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_the_same_bits_alone_among_others_and_shared_by_all_cores() {
        let (width, n_rows) = (70, LARGE / 70 + 11);
        let value = |place: usize| ((place * 2_654_435_761) % 1_000) as f32 / 500.0 - 1.0;
        let rows: Vec<f32> = (0..n_rows * width).map(value).collect();
        let states: Vec<f32> = (5..5 + 3 * width).map(value).collect();
        let products = |rows: &[f32], states: &[f32]| products(rows, states, width);
        let together = products(&rows, &states);
        for (number, state) in states.chunks_exact(width).enumerate() {
            let of_state = &together[number * n_rows..][..n_rows];
            assert_eq!(products(&rows, state), of_state);
            let few = 1_000.min(n_rows);
            assert_eq!(products(&rows[..few * width], state), of_state[..few]);
            let exact: f64 = rows[..width]
                .iter()
                .zip(state)
                .map(|(&x, &y)| f64::from(x) * f64::from(y))
                .sum();
            assert!((f64::from(of_state[0]) - exact).abs() < 1e-4);
        }
    }
}
