//! Loops over the rows of f32 matrices. Each is compiled for the widest vectors
//! of the machine it runs on ([`pulp`]), and parallel over rows; a row is
//! summed in the same order whatever the number of threads.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use pulp::Arch;
use rayon::prelude::*;

use super::memory;

/// How many values are worth a task of their own.
const MIN_VALUES: usize = 16 * 1024;

pub(super) fn rows_per_task(width: usize) -> usize {
    (MIN_VALUES / width.max(1)).max(1)
}

/// In how many lanes a sum is kept: enough for two vectors of sixteen.
const LANES: usize = 32;

/// Sums `f(x, y)` over the entries of two rows.
#[inline(always)]
pub(super) fn sum_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
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

/// Sums `x · y · z` over the entries of three rows.
#[inline(always)]
pub(super) fn sum_of_products(x: &[f32], y: &[f32], z: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (whole_x, rest_x) = x.as_chunks::<LANES>();
    let (whole_y, rest_y) = y.as_chunks::<LANES>();
    let (whole_z, rest_z) = z.as_chunks::<LANES>();
    for ((x, y), z) in whole_x.iter().zip(whole_y).zip(whole_z) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane] * z[lane];
        }
    }
    let rest = rest_x.iter().zip(rest_y).zip(rest_z);
    sum_of_lanes(sums) + rest.map(|((x, y), z)| x * y * z).sum::<f32>()
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
    let power =
        f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
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
                        + x * sigmoid
                            * (1.0 - sigmoid)
                            * SLOPE
                            * (1.0 + 3.0 * CUBIC * x * x);
                }
            });
        });
}

/// A matrix of the same row `n_rows` times.
pub(super) fn repeated(row: &[f32], n_rows: usize) -> Vec<f32> {
    let mut values = memory::buffer(row.len() * n_rows);
    for to in values.chunks_exact_mut(row.len()) {
        to.copy_from_slice(row);
    }
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
                    for ((y, &x), (&gamma, &beta)) in
                        output.iter_mut().zip(input).zip(weights)
                    {
                        *y = (x - mean) * scale * gamma + beta;
                    }
                });
            });
    }

    /// Writes the input's gradient in the place of the output's.
    pub(super) fn backward(&self, input: &[f32], gradient: &mut [f32]) {
        let width = self.gamma.len();
        let rows = gradient.par_chunks_mut(width).zip(input.par_chunks(width));
        rows.with_min_len(rows_per_task(width)).for_each(
            |(gradient, input)| {
                Arch::new().dispatch(|| {
                    let (mean, scale) = self.moments(input);
                    gradient
                        .iter_mut()
                        .zip(self.gamma)
                        .for_each(|(g, &gamma)| *g *= gamma);
                    let average =
                        sum_of(gradient, gradient, |g, _| g) / width as f32;
                    let along = sum_of(gradient, input, |g, x| g * (x - mean))
                        * scale
                        / width as f32;
                    for (g, &x) in gradient.iter_mut().zip(input) {
                        *g =
                            (*g - average - (x - mean) * scale * along) * scale;
                    }
                });
            },
        );
    }
}

/// The highest entry of a row: the highest of each lane first, because the
/// compiler makes no vectors of one comparison after the other.
#[inline(always)]
fn highest_of(row: &[f32]) -> f32 {
    let mut highest = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for values in whole {
        for lane in 0..LANES {
            highest[lane] = higher(values[lane], highest[lane]);
        }
    }
    let rest = rest.iter().copied();
    rest.chain(highest).fold(f32::NEG_INFINITY, higher)
}

/// The higher of two numbers, as one instruction: `f32::max` looks for NaN.
#[inline(always)]
fn higher(x: f32, y: f32) -> f32 {
    if x > y { x } else { y }
}

/// Makes `e^(x − highest)` of a row, in place. Returns the highest entry and
/// the sum of the exponentials.
#[inline(always)]
pub(super) fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let highest = highest_of(row);
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
pub(super) fn exponentials_of_rows(
    values: &mut [f32],
    width: usize,
) -> (Vec<f32>, Vec<f32>) {
    let rows = values
        .par_chunks_mut(width)
        .with_min_len(rows_per_task(width));
    rows.map(|row| Arch::new().dispatch(|| exponentials(row)))
        .unzip()
}
