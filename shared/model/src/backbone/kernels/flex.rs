//! The kernels on flex tensors: slices of host memory, in place where nobody
//! else holds them. Products are faer's, whose assembly is faster than flex's
//! own (figures in docs/performance.md).

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::heads::{Heads, Outputs};
use super::llama_rows;
use super::operands::{
    Attended, Attention, AttentionGradients, Exponentials, FirstHeads, Norm,
    RmsWeights, Rotation,
};
use super::rows;
use crate::backbone::host::{matrix, to_vec};

/// A tensor's memory, to be read where it lies.
struct Matrix {
    tensor: FlexTensor,
}

impl Matrix {
    fn of(tensor: Tensor<2>) -> Self {
        let tensor = flex_tensor(tensor);
        let is_matrix = match tensor.layout().strides() {
            [1, rows] | [rows, 1] => *rows > 0,
            _ => false,
        };
        Self {
            tensor: if is_matrix {
                tensor
            } else {
                tensor.to_contiguous()
            },
        }
    }

    fn view(&self) -> MatRef<'_, f32> {
        let layout = self.tensor.layout();
        let values = &self.tensor.storage::<f32>()[layout.start_offset()..];
        let n_rows = layout.shape()[0];
        let n_columns = layout.shape()[1];
        match *layout.strides() {
            [rows, 1] => {
                let stride = rows.unsigned_abs();
                MatRef::from_row_major_slice_with_stride(
                    values, n_rows, n_columns, stride,
                )
            }
            [1, columns] => {
                let stride = columns.unsigned_abs();
                MatRef::from_row_major_slice_with_stride(
                    values, n_columns, n_rows, stride,
                )
                .transpose()
            }
            _ => unreachable!(
                "a matrix was made contiguous when it was neither row-major nor column-major"
            ),
        }
    }
}

fn flex_tensor<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor
        .try_into_primitive::<Flex>()
        .expect("the engine of the tensor is flex")
}

/// The memory of a tensor of any shape, in row-major order.
pub(super) struct Contiguous {
    tensor: FlexTensor,
}

impl Contiguous {
    pub(super) fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        Self {
            tensor: flex_tensor(tensor).to_contiguous(),
        }
    }

    pub(super) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }
}

/// A tensor's values: its own memory where nobody else holds it, else a copy.
pub(super) fn owned(tensor: Tensor<2>) -> Vec<f32> {
    let tensor = flex_tensor(tensor);
    match tensor.as_slice::<f32>().filter(|_| !tensor.is_unique()) {
        // burn's own copy is of bytes, which a second copy then aligns.
        Some(shared) => shared.to_vec(),
        None => to_vec(Tensor::<2>::from_primitive::<Flex>(tensor)),
    }
}

/// A product of more rows is divided by faer, which then packs each part of a
/// matrix once.
const FEW_ROWS: usize = 512;
/// The fewest columns in a part of a product of few rows; the kernel is slow on
/// fewer.
const PART_COLUMNS: usize = 64;
/// The most parts of such a product: many, so that a thread that is interrupted
/// leaves its own to the others. Two Zen 3 cores do 14 × 256 × 1,024 at 72
/// GFLOP/s so, at 51 as faer divides it; 200 × 768 × 3,072, one core taken for
/// a fifth of the time, at 105 and 89.
const MOST_PARTS: usize = 16;

/// Writes `lhs · rhs` to a matrix, or adds it.
fn multiply(
    to: MatMut<'_, f32>,
    accum: Accum,
    lhs: MatRef<'_, f32>,
    rhs: MatRef<'_, f32>,
) {
    let n_parts = (to.ncols() / PART_COLUMNS).min(MOST_PARTS);
    if to.nrows() > FEW_ROWS || n_parts < 2 {
        return matmul(to, accum, lhs, rhs, 1.0, Par::rayon(0));
    }

    let parts = to
        .par_col_partition_mut(n_parts)
        .zip(rhs.par_col_partition(n_parts))
        .with_max_len(1);
    parts.for_each(|(to, rhs)| matmul(to, accum, lhs, rhs, 1.0, Par::Seq));
}

pub(super) fn product(lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    let device = lhs.device();
    let [n_rows, _] = lhs.dims();
    let [_, n_columns] = rhs.dims();
    let mut values = vec![0.0; n_rows * n_columns];

    let product =
        MatMut::from_row_major_slice_mut(&mut values, n_rows, n_columns);
    let lhs = Matrix::of(lhs);
    let rhs = Matrix::of(rhs);
    multiply(product, Accum::Replace, lhs.view(), rhs.view());
    matrix(values, n_columns, &device)
}

pub(super) fn add_product(
    sum: Tensor<2>,
    lhs: Tensor<2>,
    rhs: Tensor<2>,
) -> Tensor<2> {
    let device = lhs.device();
    let [n_rows, _] = lhs.dims();
    let [_, n_columns] = rhs.dims();
    let mut values = if sum.dims()[0] == n_rows {
        owned(sum)
    } else {
        rows::repeated(Contiguous::of(sum).values(), n_rows)
    };

    let product =
        MatMut::from_row_major_slice_mut(&mut values, n_rows, n_columns);
    let lhs = Matrix::of(lhs);
    let rhs = Matrix::of(rhs);
    multiply(product, Accum::Add, lhs.view(), rhs.view());
    matrix(values, n_columns, &device)
}

pub(super) fn gelu(input: Tensor<2>) -> Tensor<2> {
    let device = input.device();
    let [_, width] = input.dims();
    let input = Contiguous::of(input);
    let mut output = vec![0.0; input.values().len()];
    rows::gelu(input.values(), &mut output);
    matrix(output, width, &device)
}

pub(super) fn gelu_backward(
    input: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let device = input.device();
    let [_, width] = input.dims();
    let input = Contiguous::of(input);
    let mut gradient = owned(d_output);
    rows::gelu_backward(input.values(), &mut gradient);
    matrix(gradient, width, &device)
}

/// The memory of a layer norm's weights.
struct NormWeights {
    gamma: Contiguous,
    beta: Contiguous,
    epsilon: f32,
}

impl NormWeights {
    fn of(norm: &Norm) -> Self {
        Self {
            gamma: Contiguous::of(norm.gamma.clone()),
            beta: Contiguous::of(norm.beta.clone()),
            epsilon: norm.epsilon as f32,
        }
    }

    fn norm(&self) -> rows::Norm<'_> {
        rows::Norm {
            gamma: self.gamma.values(),
            beta: self.beta.values(),
            epsilon: self.epsilon,
        }
    }
}

pub(super) fn layer_norm(input: Tensor<2>, norm: &Norm) -> Tensor<2> {
    let device = input.device();
    let [n_rows, width] = input.dims();
    let input = Contiguous::of(input);
    let mut output = vec![0.0; n_rows * width];
    let weights = NormWeights::of(norm);
    weights.norm().forward(input.values(), &mut output);
    matrix(output, width, &device)
}

pub(super) fn layer_norm_backward(
    input: Tensor<2>,
    norm: &Norm,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let device = input.device();
    let [_, width] = input.dims();
    let input = Contiguous::of(input);
    let mut gradient = owned(d_output);
    let weights = NormWeights::of(norm);
    weights.norm().backward(input.values(), &mut gradient);
    matrix(gradient, width, &device)
}

/// Memory that lies row by row, with the weights of an RMS norm over it.
struct RmsNormed {
    input: Contiguous,
    weight: Contiguous,
    epsilon: f32,
}

impl RmsNormed {
    fn of(input: Tensor<2>, norm: &RmsWeights) -> Self {
        Self {
            input: Contiguous::of(input),
            weight: Contiguous::of(norm.weight.clone()),
            epsilon: norm.epsilon as f32,
        }
    }

    fn norm(&self) -> llama_rows::RmsNorm<'_> {
        llama_rows::RmsNorm {
            weight: self.weight.values(),
            epsilon: self.epsilon,
        }
    }
}

pub(super) fn rms_norm(input: Tensor<2>, norm: &RmsWeights) -> Tensor<2> {
    let (device, [n_rows, width]) = (input.device(), input.dims());
    let mut output = vec![0.0; n_rows * width];
    let normed = RmsNormed::of(input, norm);
    normed.norm().forward(normed.input.values(), &mut output);
    matrix(output, width, &device)
}

pub(super) fn rms_norm_backward(
    input: Tensor<2>,
    norm: &RmsWeights,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let (device, [_, width]) = (input.device(), input.dims());
    let mut gradient = owned(d_output);
    let normed = RmsNormed::of(input, norm);
    normed.norm().backward(normed.input.values(), &mut gradient);
    matrix(gradient, width, &device)
}

pub(super) fn rotate(
    input: Tensor<2>,
    rotation: &Rotation,
    heads: FirstHeads,
) -> Tensor<2> {
    let (device, [_, width]) = (input.device(), input.dims());
    let mut values = owned(input);
    let cos = Contiguous::of(rotation.cos.clone());
    let sin = Contiguous::of(rotation.sin.clone());
    let turns = llama_rows::Turns {
        cos: cos.values(),
        sin: sin.values(),
        heads,
    };
    turns.rotate(&mut values, width);
    matrix(values, width, &device)
}

pub(super) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let (device, [n_rows, width]) = (gate_up.device(), gate_up.dims());
    let mut output = vec![0.0; n_rows * width / 2];
    llama_rows::swiglu(
        Contiguous::of(gate_up).values(),
        &mut output,
        width / 2,
    );
    matrix(output, width / 2, &device)
}

pub(super) fn swiglu_backward(
    gate_up: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let (device, [_, width]) = (gate_up.device(), gate_up.dims());
    let mut gradient = owned(gate_up);
    let d_output = Contiguous::of(d_output);
    llama_rows::swiglu_backward(&mut gradient, d_output.values(), width / 2);
    matrix(gradient, width, &device)
}

pub(super) fn exponentials(logits: Tensor<2>) -> Exponentials {
    let device = logits.device();
    let [_, width] = logits.dims();
    let mut values = owned(logits);
    let (highest, sums) = rows::exponentials_of_rows(&mut values, width);
    Exponentials {
        values: matrix(values, width, &device),
        highest,
        sums,
    }
}

pub(super) fn attention(of: &Attention<'_>) -> Attended {
    let device = of.queries.device();
    let [_, width] = of.queries.dims();
    let queries = Contiguous::of(of.queries.clone());
    let keys_values = Contiguous::of(of.keys_values.clone());

    let heads = Heads::new(queries.values(), keys_values.values(), of);
    let outputs = heads.forward();
    Attended {
        mixed: matrix(outputs.mixed, width, &device),
        log_sums: matrix(outputs.log_sums, of.heads.n_query, &device),
    }
}

pub(super) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> AttentionGradients {
    let device = of.queries.device();
    let [_, width] = of.queries.dims();
    let [_, key_value_width] = of.keys_values.dims();
    let queries = Contiguous::of(of.queries.clone());
    let keys_values = Contiguous::of(of.keys_values.clone());

    let heads = Heads::new(queries.values(), keys_values.values(), of);
    let mixed = Contiguous::of(attended.mixed);
    let log_sums = Contiguous::of(attended.log_sums);
    let outputs = Outputs {
        mixed: mixed.values(),
        log_sums: log_sums.values(),
    };
    let d_mixed = Contiguous::of(d_mixed);
    let gradients = heads.backward(&outputs, d_mixed.values());
    AttentionGradients {
        queries: matrix(gradients.queries, width, &device),
        keys_values: matrix(gradients.keys_values, key_value_width, &device),
    }
}
