//! Loops over the rows of f32 matrices for the layers of the Llama family, made
//! as those in [`super::rows`].

use pulp::Arch;
use rayon::prelude::*;

use super::operands::FirstHeads;
use super::rows::{exp, rows_per_task, sum_of, sum_of_products};

/// An RMS norm.
pub(super) struct RmsNorm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) epsilon: f32,
}

impl RmsNorm<'_> {
    /// What a row is multiplied with, so that its mean square is 1.
    #[inline(always)]
    fn scale(&self, row: &[f32]) -> f32 {
        let squares = sum_of(row, row, |x, _| x * x) / row.len() as f32;
        1.0 / (squares + self.epsilon).sqrt()
    }

    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        let width = self.weight.len();
        let rows = output.par_chunks_mut(width).zip(input.par_chunks(width));
        rows.with_min_len(rows_per_task(width))
            .for_each(|(output, input)| {
                Arch::new().dispatch(|| {
                    let scale = self.scale(input);
                    for ((y, &x), &weight) in
                        output.iter_mut().zip(input).zip(self.weight)
                    {
                        *y = x * scale * weight;
                    }
                });
            });
    }

    /// Writes the input's gradient in place of the output's.
    pub(super) fn backward(&self, input: &[f32], gradient: &mut [f32]) {
        let width = self.weight.len();
        let rows = gradient.par_chunks_mut(width).zip(input.par_chunks(width));
        rows.with_min_len(rows_per_task(width)).for_each(
            |(gradient, input)| {
                Arch::new().dispatch(|| {
                    let of_row = self.gradient(input, gradient);
                    for (g, (&x, &weight)) in
                        gradient.iter_mut().zip(input.iter().zip(self.weight))
                    {
                        *g = of_row.at(x, *g * weight);
                    }
                });
            },
        );
    }

    /// Writes the input's gradient, added to `sum`, in place of the output's.
    pub(super) fn add_backward(
        &self,
        sum: &[f32],
        input: &[f32],
        gradient: &mut [f32],
    ) {
        let width = self.weight.len();
        let others = sum.par_chunks(width).zip(input.par_chunks(width));
        let rows = gradient.par_chunks_mut(width).zip(others);
        rows.with_min_len(rows_per_task(width)).for_each(
            |(gradient, (sum, input))| {
                Arch::new().dispatch(|| {
                    let of_row = self.gradient(input, gradient);
                    let others = sum.iter().zip(input.iter().zip(self.weight));
                    for (g, (&sum, (&x, &weight))) in
                        gradient.iter_mut().zip(others)
                    {
                        *g = sum + of_row.at(x, *g * weight);
                    }
                });
            },
        );
    }

    /// What a row's gradient is made with.
    #[inline(always)]
    fn gradient(&self, input: &[f32], d_output: &[f32]) -> RowGradient {
        let scale = self.scale(input);
        let along = sum_of_products(d_output, self.weight, input);
        RowGradient {
            scale,
            along: along / input.len() as f32 * scale * scale,
        }
    }
}

/// What the gradient of a normed row needs of the row as a whole.
struct RowGradient {
    /// What the row was multiplied with.
    scale: f32,
    /// How much of the row itself is taken away.
    along: f32,
}

impl RowGradient {
    /// The gradient of an entry, given that of its scaled value.
    #[inline(always)]
    fn at(&self, entry: f32, d_scaled: f32) -> f32 {
        (d_scaled - entry * self.along) * self.scale
    }
}

/// How far each row's heads are turned.
pub(super) struct Turns<'a> {
    /// `[rows, head_dim / 2]`
    pub(super) cos: &'a [f32],
    /// `[rows, head_dim / 2]`
    pub(super) sin: &'a [f32],
    pub(super) heads: FirstHeads,
}

impl Turns<'_> {
    /// Turns the first heads of each row in place.
    pub(super) fn rotate(&self, values: &mut [f32], width: usize) {
        let FirstHeads { n_heads, head_dim } = self.heads;
        let half = head_dim / 2;
        let rows = values
            .par_chunks_mut(width)
            .zip(self.cos.par_chunks(half).zip(self.sin.par_chunks(half)));
        rows.with_min_len(rows_per_task(width)).for_each(
            |(row, (cos, sin))| {
                Arch::new().dispatch(|| {
                    for head in
                        row[..n_heads * head_dim].chunks_exact_mut(head_dim)
                    {
                        let (first, second) = head.split_at_mut(half);
                        let turns = cos.iter().zip(sin);
                        for ((x, y), (&cos, &sin)) in
                            first.iter_mut().zip(second).zip(turns)
                        {
                            (*x, *y) =
                                (*x * cos - *y * sin, *y * cos + *x * sin);
                        }
                    }
                });
            },
        );
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `silu(gate) · up` of each row.
pub(super) fn swiglu(gate_up: &[f32], output: &mut [f32], inner: usize) {
    let rows = output
        .par_chunks_mut(inner)
        .zip(gate_up.par_chunks(2 * inner));
    rows.with_min_len(rows_per_task(inner))
        .for_each(|(output, gate_up)| {
            Arch::new().dispatch(|| {
                let (gate, up) = gate_up.split_at(inner);
                for ((y, &gate), &up) in output.iter_mut().zip(gate).zip(up) {
                    *y = gate * sigmoid(gate) * up;
                }
            });
        });
}

/// Writes the gradient of gate and up in their place.
pub(super) fn swiglu_backward(
    gate_up: &mut [f32],
    d_output: &[f32],
    inner: usize,
) {
    let rows = gate_up
        .par_chunks_mut(2 * inner)
        .zip(d_output.par_chunks(inner));
    rows.with_min_len(rows_per_task(inner))
        .for_each(|(gate_up, d_output)| {
            Arch::new().dispatch(|| {
                let (gate, up) = gate_up.split_at_mut(inner);
                for ((gate, up), &d) in gate.iter_mut().zip(up).zip(d_output) {
                    let sigmoid = sigmoid(*gate);
                    let slope = sigmoid * (1.0 + *gate * (1.0 - sigmoid));
                    (*gate, *up) = (d * *up * slope, d * *gate * sigmoid);
                }
            });
        });
}
