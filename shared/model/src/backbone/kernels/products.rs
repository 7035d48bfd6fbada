//! Inner products of many rows with a few states: what a catalogue is ranked
//! by. They are compiled for the widest vectors of the machine they run on
//! ([`pulp`]).

use burn::tensor::bf16;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

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
pub(crate) fn products<N: Number>(
    rows: &[N],
    states: &[f32],
    width: usize,
) -> Vec<f32> {
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
fn products_on_one_core<N: Number>(
    rows: &[N],
    states: &[f32],
    width: usize,
) -> Vec<f32> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_the_same_bits_alone_among_others_and_shared_by_all_cores() {
        let (width, n_rows) = (70, LARGE / 70 + 11);
        let value = |place: usize| {
            ((place * 2_654_435_761) % 1_000) as f32 / 500.0 - 1.0
        };
        let rows: Vec<f32> = (0..n_rows * width).map(value).collect();
        let states: Vec<f32> = (5..5 + 3 * width).map(value).collect();
        let products =
            |rows: &[f32], states: &[f32]| products(rows, states, width);
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
