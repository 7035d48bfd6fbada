//! The kernels in burn's own operators: for devices without better ones, and for autodiff.

use burn::tensor::activation::{self, gelu_approximate};
use burn::tensor::module;
use burn::tensor::{Tensor, TensorData};

use super::{Attended, Attention, Norm};
use crate::packing::{Span, index_tensor, to_index, to_vec};

pub(super) fn product(lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    lhs.matmul(rhs)
}

pub(super) fn add_product(sum: Tensor<2>, lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    lhs.matmul(rhs) + sum
}

pub(super) fn gelu(input: Tensor<2>) -> Tensor<2> {
    gelu_approximate(input)
}

/// √(2/π)
const SLOPE: f64 = 0.797_884_560_802_865_4;
const CUBIC: f64 = 0.044_715;

pub(super) fn gelu_backward(input: Tensor<2>, d_output: Tensor<2>) -> Tensor<2> {
    let squares = input.clone() * input.clone();
    let tanh = ((squares.clone() * CUBIC + 1.0) * input.clone() * SLOPE).tanh();
    let d_tanh = (-(tanh.clone() * tanh.clone()) + 1.0) * (squares * (3.0 * CUBIC) + 1.0) * SLOPE;
    d_output * ((tanh + 1.0) + input * d_tanh) * 0.5
}

pub(super) fn layer_norm(input: Tensor<2>, norm: &Norm) -> Tensor<2> {
    module::layer_norm(input, norm.gamma.clone(), Some(norm.beta.clone()), norm.epsilon)
}

pub(super) fn layer_norm_backward(input: Tensor<2>, norm: &Norm, d_output: Tensor<2>) -> Tensor<2> {
    let centered = input.clone() - input.mean_dim(1);
    let scale = ((centered.clone() * centered.clone()).mean_dim(1) + norm.epsilon).sqrt().recip();
    let normed = centered * scale.clone();
    let d_normed = d_output * norm.gamma.clone().unsqueeze();
    let along = (d_normed.clone() * normed.clone()).mean_dim(1);
    let mean = d_normed.clone().mean_dim(1);
    (d_normed - mean - normed * along) * scale
}

pub(super) fn exponentials(logits: Tensor<2>) -> (Tensor<2>, Vec<f32>, Vec<f32>) {
    let highest = logits.clone().max_dim(1);
    let exponentials = (logits - highest.clone()).exp();
    let sums = to_vec(exponentials.clone().sum_dim(1));
    (exponentials, to_vec(highest), sums)
}

/// Documents padded to the longest one, so that a batch is one product; `[documents, longest]` of each side.
struct Padding {
    n_documents: usize,
    longest_query: usize,
    longest_key: usize,
    /// Row of each padded query and key; padding reads row 0.
    to_padded: [Vec<i32>; 2],
    /// Padded row of each query and key.
    to_packed: [Vec<i32>; 2],
    /// 0 where a query sees a key, else very negative `[documents, 1, longest_query, longest_key]`.
    bias: Vec<f32>,
}

/// Added to the scores of what is not seen; its exponential is 0 in every float type.
const UNSEEN: f32 = -1e9;

impl Padding {
    fn new(spans: &[Span]) -> Self {
        let longest = |length: fn(&Span) -> usize| spans.iter().map(length).max().unwrap_or(0);
        let (longest_query, longest_key) = (longest(|span| span.queries.len()), longest(|span| span.keys.len()));
        let rows = |range: fn(&Span) -> std::ops::Range<usize>, longest: usize| {
            let padded = spans.iter().flat_map(|span| {
                let range = range(span);
                (0..longest).map(move |t| if t < range.len() { to_index(range.start + t) } else { 0 })
            });
            let packed = spans
                .iter()
                .enumerate()
                .flat_map(|(document, span)| (0..range(span).len()).map(move |t| to_index(document * longest + t)));
            (padded.collect(), packed.collect())
        };
        let (queries, packed_queries) = rows(|span| span.queries.clone(), longest_query);
        let (keys, packed_keys) = rows(|span| span.keys.clone(), longest_key);
        let bias = spans.iter().flat_map(|span| {
            (0..longest_query).flat_map(move |query| {
                (0..longest_key).map(move |key| if key <= span.offset + query { 0.0 } else { UNSEEN })
            })
        });
        Self {
            n_documents: spans.len(),
            longest_query,
            longest_key,
            to_padded: [queries, keys],
            to_packed: [packed_queries, packed_keys],
            bias: bias.collect(),
        }
    }
}

/// Queries, keys and values `[documents, heads, longest, head_dim]`, and their scores.
struct Heads {
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    /// Scaled and masked `[documents, heads, longest_query, longest_key]`.
    scores: Tensor<4>,
    scale: f64,
}

impl Heads {
    fn new(of: &Attention<'_>, padding: &Padding) -> Self {
        let [_, embed] = of.queries.dims();
        let keys_values = of.keys_values.clone();
        let [n_keys, _] = keys_values.dims();
        let keys = keys_values.clone().slice([0..n_keys, 0..embed]);
        let values = keys_values.slice([0..n_keys, embed..2 * embed]);
        let scale = 1.0 / ((embed / of.n_head) as f64).sqrt();
        let queries = split(of.queries.clone(), &padding.to_padded[0], padding, of.n_head);
        let keys = split(keys, &padding.to_padded[1], padding, of.n_head);
        let values = split(values, &padding.to_padded[1], padding, of.n_head);
        let shape = [padding.n_documents, 1, padding.longest_query, padding.longest_key];
        let bias = TensorData::new(padding.bias.clone(), shape);
        let bias = Tensor::from_data(bias, (&queries.device(), queries.dtype()));
        let scores = queries.clone().matmul(keys.clone().swap_dims(2, 3)) * scale + bias;
        Self { queries, keys, values, scores, scale }
    }
}

/// Shapes: `[rows, embed]` → `[documents, heads, longest, head_dim]`.
fn split(packed: Tensor<2>, to_padded: &[i32], padding: &Padding, n_head: usize) -> Tensor<4> {
    let [_, embed] = packed.dims();
    let rows = index_tensor(to_padded.to_vec(), &packed.device());
    let longest = to_padded.len() / padding.n_documents.max(1);
    packed.select(0, rows).reshape([padding.n_documents, longest, n_head, embed / n_head]).swap_dims(1, 2)
}

/// Shapes: `[documents, heads, longest, width]` → `[rows, heads * width]`.
fn join(padded: Tensor<4>, to_packed: &[i32]) -> Tensor<2> {
    let [n_documents, n_head, longest, width] = padded.dims();
    let rows = index_tensor(to_packed.to_vec(), &padded.device());
    padded.swap_dims(1, 2).reshape([n_documents * longest, n_head * width]).select(0, rows)
}

pub(super) fn attention(of: &Attention<'_>) -> Attended {
    let padding = Padding::new(of.spans);
    let heads = Heads::new(of, &padding);
    let highest = heads.scores.clone().detach().max_dim(3);
    let exponentials = (heads.scores - highest.clone()).exp();
    let sums = exponentials.clone().sum_dim(3); // [documents, heads, longest_query, 1]
    let mixed = (exponentials / sums.clone()).matmul(heads.values);
    let [of_queries, _] = &padding.to_packed;
    Attended { mixed: join(mixed, of_queries), log_sums: join(sums.log() + highest, of_queries) }
}

pub(super) fn attention_backward(of: &Attention<'_>, attended: Attended, d_mixed: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let padding = Padding::new(of.spans);
    let heads = Heads::new(of, &padding);
    let split_queries = |packed: Tensor<2>| split(packed, &padding.to_padded[0], &padding, of.n_head);
    // Padded queries would add to the gradients of keys and values.
    let is_real = padding.mask_of_queries(&d_mixed);
    let d_mixed = split_queries(d_mixed) * is_real;
    let shares = activation::softmax(heads.scores, 3);
    let along = (split_queries(attended.mixed) * d_mixed.clone()).sum_dim(3);
    let d_values = shares.clone().swap_dims(2, 3).matmul(d_mixed.clone());
    let d_scores = shares * (d_mixed.matmul(heads.values.swap_dims(2, 3)) - along) * heads.scale;
    let d_queries = d_scores.clone().matmul(heads.keys);
    let d_keys = d_scores.swap_dims(2, 3).matmul(heads.queries);
    let [of_queries, of_keys] = &padding.to_packed;
    (join(d_queries, of_queries), Tensor::cat(vec![join(d_keys, of_keys), join(d_values, of_keys)], 1))
}

impl Padding {
    /// 1 for a query, 0 for padding `[documents, 1, longest_query, 1]`.
    fn mask_of_queries(&self, like: &Tensor<2>) -> Tensor<4> {
        let mut mask = vec![0.0_f32; self.n_documents * self.longest_query];
        self.to_packed[0].iter().for_each(|&row| mask[row as usize] = 1.0);
        let mask = TensorData::new(mask, [self.n_documents, 1, self.longest_query, 1]);
        Tensor::from_data(mask, (&like.device(), like.dtype()))
    }
}
