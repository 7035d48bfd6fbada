//! The kernels in burn's own operators: for devices without better ones, and
//! for autodiff.

use burn::tensor::activation::{self, gelu_approximate};
use burn::tensor::module;
use burn::tensor::{Bool, DType, IndexingUpdateOp, Int, Tensor};

use super::operands::{
    Attended, Attention, AttentionGradients, Exponentials, FirstHeads,
    HeadCounts, Norm, RmsWeights, Rotation,
};
use crate::backbone::host::to_vec;
use crate::backbone::layout::Padded;

pub(super) fn product(lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    lhs.matmul(rhs)
}

pub(super) fn add_product(
    sum: Tensor<2>,
    lhs: Tensor<2>,
    rhs: Tensor<2>,
) -> Tensor<2> {
    lhs.matmul(rhs) + sum
}

pub(super) fn gelu(input: Tensor<2>) -> Tensor<2> {
    gelu_approximate(input)
}

/// The factor √(2/π) inside GELU's tanh.
const SLOPE: f64 = 0.797_884_560_802_865_4;
/// The factor of the cube there.
const CUBIC: f64 = 0.044_715;

pub(super) fn gelu_backward(
    input: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let squares = input.clone() * input.clone();
    let cubic = squares.clone() * CUBIC + 1.0;
    let tanh = (cubic * input.clone() * SLOPE).tanh();
    let d_outer = -(tanh.clone() * tanh.clone()) + 1.0;
    let d_inner = squares * (3.0 * CUBIC) + 1.0;
    let d_tanh = d_outer * d_inner * SLOPE;
    d_output * ((tanh + 1.0) + input * d_tanh) * 0.5
}

pub(super) fn layer_norm(input: Tensor<2>, norm: &Norm) -> Tensor<2> {
    let gamma = norm.gamma.clone();
    let beta = norm.beta.clone();
    module::layer_norm(input, gamma, Some(beta), norm.epsilon)
}

pub(super) fn layer_norm_backward(
    input: Tensor<2>,
    norm: &Norm,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let centered = input.clone() - input.mean_dim(1);
    let variance = (centered.clone() * centered.clone()).mean_dim(1);
    let scale = (variance + norm.epsilon).sqrt().recip();
    let normed = centered * scale.clone();

    let d_normed = d_output * norm.gamma.clone().unsqueeze();
    let along = (d_normed.clone() * normed.clone()).mean_dim(1);
    let mean = d_normed.clone().mean_dim(1);
    (d_normed - mean - normed * along) * scale
}

pub(super) fn rms_norm(input: Tensor<2>, norm: &RmsWeights) -> Tensor<2> {
    let dtype = input.dtype();
    let scaled = scaled_to_one(&input.cast(DType::F32), norm.epsilon).scaled;
    scaled.cast(dtype) * norm.weight.clone().unsqueeze()
}

/// Rows with a mean square of 1, and what they were multiplied with.
struct ScaledRows {
    scaled: Tensor<2>,
    /// `[rows, 1]`
    scale: Tensor<2>,
}

fn scaled_to_one(input: &Tensor<2>, epsilon: f64) -> ScaledRows {
    let squares = (input.clone() * input.clone()).mean_dim(1);
    let scale = (squares + epsilon).sqrt().recip();
    ScaledRows {
        scaled: input.clone() * scale.clone(),
        scale,
    }
}

pub(super) fn rms_norm_backward(
    input: Tensor<2>,
    norm: &RmsWeights,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let dtype = input.dtype();
    let ScaledRows { scaled, scale } =
        scaled_to_one(&input.cast(DType::F32), norm.epsilon);
    let d_scaled =
        (d_output * norm.weight.clone().unsqueeze()).cast(DType::F32);
    let along = (d_scaled.clone() * scaled.clone()).mean_dim(1);
    ((d_scaled - scaled * along) * scale).cast(dtype)
}

pub(super) fn add_rms_norm_backward(
    sum: Tensor<2>,
    input: Tensor<2>,
    norm: &RmsWeights,
    d_output: Tensor<2>,
) -> Tensor<2> {
    sum + rms_norm_backward(input, norm, d_output)
}

pub(super) fn rotate(
    input: Tensor<2>,
    rotation: &Rotation,
    heads: FirstHeads,
) -> Tensor<2> {
    let [n_rows, width] = input.dims();
    let (half, end) = (heads.head_dim / 2, heads.n_heads * heads.head_dim);
    let dtype = input.dtype();
    let cos: Tensor<3> = rotation.cos.clone().cast(dtype).unsqueeze_dim(1);
    let sin: Tensor<3> = rotation.sin.clone().cast(dtype).unsqueeze_dim(1);
    let turned: Tensor<3> = input.clone().slice([0..n_rows, 0..end]).reshape([
        n_rows,
        heads.n_heads,
        heads.head_dim,
    ]);
    let first = turned.clone().narrow(2, 0, half);
    let second = turned.narrow(2, half, half);
    let both = vec![
        first.clone() * cos.clone() - second.clone() * sin.clone(),
        second * cos + first * sin,
    ];
    let turned = Tensor::cat(both, 2).reshape([n_rows, end]);
    if end == width {
        return turned;
    }
    Tensor::cat(vec![turned, input.slice([0..n_rows, end..width])], 1)
}

pub(super) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let [_, width] = gate_up.dims();
    let gate = gate_up.clone().narrow(1, 0, width / 2);
    let up = gate_up.narrow(1, width / 2, width / 2);
    activation::silu(gate) * up
}

pub(super) fn swiglu_backward(
    gate_up: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let [_, width] = gate_up.dims();
    let gate = gate_up.clone().narrow(1, 0, width / 2);
    let up = gate_up.narrow(1, width / 2, width / 2);
    let sigmoid = activation::sigmoid(gate.clone());
    let slope =
        sigmoid.clone() * (gate.clone() * (-sigmoid.clone() + 1.0) + 1.0);
    let d_gate = d_output.clone() * up * slope;
    let d_up = d_output * gate * sigmoid;
    Tensor::cat(vec![d_gate, d_up], 1)
}

pub(super) fn exponentials(logits: Tensor<2>) -> Exponentials {
    let highest = logits.clone().max_dim(1);
    let values = (logits - highest.clone()).exp();
    let sums = to_vec(values.clone().sum_dim(1));
    Exponentials {
        values,
        highest: to_vec(highest),
        sums,
    }
}

/// What is added to the scores of unseen keys; its exponential is 0 in every
/// float type.
const UNSEEN: f64 = -1e9;

/// Queries, keys and values, or their gradients, of documents that are padded
/// to one length `[documents, n_query, longest, head_dim]`: keys and values
/// once for each query head.
pub(super) struct Heads {
    pub(super) queries: Tensor<4>,
    pub(super) keys: Tensor<4>,
    pub(super) values: Tensor<4>,
}

impl Heads {
    pub(super) fn new(of: &Attention<'_>, padded: &Padded) -> Self {
        let HeadCounts {
            n_query,
            n_key_value,
        } = of.heads;
        let n_in_group = of.heads.n_in_group();
        let [n_keys, width] = of.keys_values.dims();
        let both = of.keys_values.clone();
        let keys = both.clone().slice([0..n_keys, 0..width / 2]);
        let values = both.slice([0..n_keys, width / 2..width]);

        let queries = of.queries.clone();
        let keys = split(keys, &padded.keys, padded, n_key_value);
        let values = split(values, &padded.keys, padded, n_key_value);
        Self {
            queries: split(queries, &padded.queries, padded, n_query),
            keys: repeated(keys, n_in_group),
            values: repeated(values, n_in_group),
        }
    }

    /// The gradients as they lie in memory; heads that share keys and values
    /// are summed.
    pub(super) fn packed(
        self,
        padded: &Padded,
        counts: HeadCounts,
    ) -> AttentionGradients {
        let n_in_group = counts.n_in_group();
        let keys = summed(self.keys, n_in_group);
        let values = summed(self.values, n_in_group);
        let keys = join(keys, &padded.keys);
        let values = join(values, &padded.keys);
        AttentionGradients {
            queries: join(self.queries, &padded.queries),
            keys_values: Tensor::cat(vec![keys, values], 1),
        }
    }

    fn scale(&self) -> f64 {
        let [.., head_dim] = self.queries.dims();
        1.0 / (head_dim as f64).sqrt()
    }

    /// The scores, scaled and masked `[documents, heads, longest, longest]`.
    fn scores(&self) -> Tensor<4> {
        let [_, _, longest, _] = self.queries.dims();
        let device = self.queries.device();
        let dtype = self.queries.dtype();
        let unseen = Tensor::<2, Bool>::tril_mask([longest; 2], 0, &device);
        let zeros = Tensor::<2>::zeros([longest; 2], (&device, dtype));
        let bias = zeros.mask_fill(unseen, UNSEEN);

        let keys = self.keys.clone().swap_dims(2, 3);
        let products = self.queries.clone().matmul(keys);
        products * self.scale() + bias.unsqueeze()
    }
}

/// Repeats each head `n_times` in a row. Shapes:
/// `[documents, heads, longest, head_dim]` →
/// `[documents, heads * n_times, longest, head_dim]`.
fn repeated(heads: Tensor<4>, n_times: usize) -> Tensor<4> {
    if n_times == 1 {
        return heads;
    }
    let [n_documents, n_heads, longest, head_dim] = heads.dims();
    let one: Tensor<5> =
        heads.reshape([n_documents, n_heads, 1, longest, head_dim]);
    let many: Tensor<5> = one.repeat_dim(2, n_times);
    many.reshape([n_documents, n_heads * n_times, longest, head_dim])
}

/// The gradient of [`repeated`].
fn summed(heads: Tensor<4>, n_times: usize) -> Tensor<4> {
    if n_times == 1 {
        return heads;
    }
    let [n_documents, n_heads, longest, head_dim] = heads.dims();
    let n_groups = n_heads / n_times;
    let groups: Tensor<5> =
        heads.reshape([n_documents, n_groups, n_times, longest, head_dim]);
    groups
        .sum_dim(2)
        .reshape([n_documents, n_groups, longest, head_dim])
}

/// Lays packed rows out by document and head, zero where no token lies. Shapes:
/// `[rows, embed]` → `[documents, heads, longest, head_dim]`.
pub(super) fn split(
    packed: Tensor<2>,
    places: &Tensor<1, Int>,
    padded: &Padded,
    n_head: usize,
) -> Tensor<4> {
    let [_, embed] = packed.dims();
    let Padded {
        n_documents,
        longest,
        ..
    } = *padded;
    let n_rows = n_documents * longest;
    let device = packed.device();
    let zeros = Tensor::zeros([n_rows, embed], (&device, packed.dtype()));

    let add = IndexingUpdateOp::Add;
    let laid_out: Tensor<2> =
        zeros.select_assign(0, places.clone(), packed, add);
    laid_out
        .reshape([n_documents, longest, n_head, embed / n_head])
        .swap_dims(1, 2)
}

/// The reverse of [`split`]. Shapes: `[documents, heads, longest, width]` →
/// `[rows, heads * width]`.
pub(super) fn join(padded: Tensor<4>, places: &Tensor<1, Int>) -> Tensor<2> {
    let [n_documents, n_head, longest, width] = padded.dims();
    padded
        .swap_dims(1, 2)
        .reshape([n_documents * longest, n_head * width])
        .select(0, places.clone())
}

pub(super) fn attention(of: &Attention<'_>) -> Attended {
    let padded = of.spans.padded(&of.queries.device());
    let heads = Heads::new(of, padded);
    let scores = heads.scores();

    let highest = scores.clone().detach().max_dim(3);
    let exponentials = (scores - highest.clone()).exp();
    let sums = exponentials.clone().sum_dim(3); // [documents, heads, longest, 1]
    let shares = exponentials / sums.clone();
    let mixed = shares.matmul(heads.values);
    Attended {
        mixed: join(mixed, &padded.queries),
        log_sums: join(sums.log() + highest, &padded.queries),
    }
}

pub(super) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> AttentionGradients {
    let padded = of.spans.padded(&of.queries.device());
    let n_query = of.heads.n_query;
    let heads = Heads::new(of, padded);
    // Zero where there is no query: those add nothing to the gradients of keys
    // and values.
    let d_mixed = split(d_mixed, &padded.queries, padded, n_query);

    let shares = activation::softmax(heads.scores(), 3);
    let mixed = split(attended.mixed, &padded.queries, padded, n_query);
    let along = (mixed * d_mixed.clone()).sum_dim(3);
    let shares_t = shares.clone().swap_dims(2, 3);
    let d_values = shares_t.matmul(d_mixed.clone());

    let scale = heads.scale();
    let d_shares = d_mixed.matmul(heads.values.swap_dims(2, 3));
    let d_scores = shares * (d_shares - along) * scale;
    let d_queries = d_scores.clone().matmul(heads.keys);
    let d_keys = d_scores.swap_dims(2, 3).matmul(heads.queries);

    let gradients = Heads {
        queries: d_queries,
        keys: d_keys,
        values: d_values,
    };
    gradients.packed(padded, of.heads)
}
