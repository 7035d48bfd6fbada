//! The kernels as LibTorch's fused operators; attention is its flash kernel on
//! a CPU ([`card`] elsewhere).
#![expect(deprecated, reason = "burn-tch has no successor for LibTorch")]

use burn::backend::LibTorch;
use burn::backend::libtorch::TchTensor;
use burn::tensor::Tensor;
use tch::Tensor as Native;

use super::card;
pub(super) use super::composed::{
    add_rms_norm_backward, exponentials, layer_norm, product, rms_norm,
    rms_norm_backward, rotate, swiglu, swiglu_backward,
};
use super::operands::{
    Attended, Attention, AttentionGradients, HeadCounts, Norm,
};
use crate::backbone::layout::Span;

pub(super) fn native<const D: usize>(tensor: Tensor<D>) -> Native {
    tensor
        .try_into_primitive::<LibTorch>()
        .expect("the engine of the tensor is LibTorch")
        .tensor
}

pub(super) fn wrapped<const D: usize>(tensor: Native) -> Tensor<D> {
    Tensor::from_primitive::<LibTorch>(TchTensor::new(tensor))
}

pub(super) fn add_product(
    sum: Tensor<2>,
    lhs: Tensor<2>,
    rhs: Tensor<2>,
) -> Tensor<2> {
    wrapped(native(sum).addmm(&native(lhs), &native(rhs)))
}

/// What LibTorch calls the approximation of GELU that GPT-2 has.
const TANH: &str = "tanh";

pub(super) fn gelu(input: Tensor<2>) -> Tensor<2> {
    wrapped(native(input).gelu(TANH))
}

pub(super) fn gelu_backward(
    input: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    wrapped(native(input).gelu_backward(&native(d_output), TANH))
}

pub(super) fn layer_norm_backward(
    input: Tensor<2>,
    norm: &Norm,
    d_output: Tensor<2>,
) -> Tensor<2> {
    let width = i64::try_from(input.dims()[1]).expect("a width is small");
    let none: Option<&Native> = None;
    let (normed, _, scale) =
        native(input).native_layer_norm(width, none, none, norm.epsilon);
    let kind = normed.kind();
    let mut gradient = native(d_output) * native(norm.gamma.clone());
    let average = gradient.mean_dim(&[1_i64][..], true, kind);
    let along = (&gradient * &normed).mean_dim(&[1_i64][..], true, kind);
    // In place: the gradient is this function's own.
    drop(gradient.subtract_(&average));
    drop(gradient.addcmul_(&normed, &(-along)));
    drop(gradient.multiply_(&scale.to_kind(kind)));
    wrapped(gradient)
}

/// Documents of one length that follow each other: they go together, because a
/// flash kernel takes one length a call.
struct Run {
    n_documents: i64,
    first_query: i64,
    n_queries: i64,
    first_key: i64,
    n_keys: i64,
}

pub(super) fn size(n: usize) -> i64 {
    i64::try_from(n).expect("a batch has fewer than 2³¹ tokens")
}

fn runs(spans: &[Span]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for span in spans.iter().filter(|span| !span.queries.is_empty()) {
        let (n_queries, n_keys) =
            (size(span.queries.len()), size(span.keys.len()));
        match runs.last_mut() {
            Some(run) if (run.n_queries, run.n_keys) == (n_queries, n_keys) => {
                run.n_documents += 1
            }
            _ => runs.push(Run {
                n_documents: 1,
                first_query: size(span.queries.start),
                n_queries,
                first_key: size(span.keys.start),
                n_keys,
            }),
        }
    }
    runs
}

impl Run {
    /// The queries of the run's documents, a view. Shapes: `[queries, width]` →
    /// `[documents, n_queries, width]`.
    fn of_queries(&self, packed: &Native) -> Native {
        let width = packed.size()[1];
        packed
            .narrow(0, self.first_query, self.n_documents * self.n_queries)
            .view([self.n_documents, self.n_queries, width])
    }

    /// The keys and values of the run's documents, views. Shapes:
    /// `[keys, 2 * width]` → `[documents, n_keys, width]` each.
    fn of_keys(&self, packed: &Native) -> KeysValues {
        let width = packed.size()[1];
        let both = packed
            .narrow(0, self.first_key, self.n_documents * self.n_keys)
            .view([self.n_documents, self.n_keys, width]);
        KeysValues {
            keys: both.narrow(2, 0, width / 2),
            values: both.narrow(2, width / 2, width / 2),
        }
    }

    /// What is added to the scores of keys that a query does not see; `None`
    /// where the kernel's own causal mask says it, or where all keys are seen.
    fn bias(&self, like: &Native) -> Option<Native> {
        if self.is_causal() || self.sees_all() {
            return None;
        }
        let unseen = Native::full(
            [self.n_queries, self.n_keys],
            f64::NEG_INFINITY,
            (like.kind(), like.device()),
        );
        Some(unseen.triu(self.n_keys - self.n_queries + 1))
    }

    fn is_causal(&self) -> bool {
        self.n_queries == self.n_keys
    }

    fn sees_all(&self) -> bool {
        self.n_queries == 1
    }
}

/// Keys and values of a run, or their gradients.
struct KeysValues {
    keys: Native,
    values: Native,
}

/// The heads of a tensor, a view. Shapes:
/// `[documents, length, heads * head_dim]` →
/// `[documents, heads, length, head_dim]`.
fn heads(tensor: &Native, n_heads: usize) -> Native {
    let shape = tensor.size();
    tensor
        .unflatten(2, [size(n_heads), shape[2] / size(n_heads)])
        .transpose(1, 2)
}

/// The heads of keys or values, once for each query head that reads them; views
/// where that is one.
fn heads_for_queries(tensor: &Native, counts: HeadCounts) -> Native {
    let heads = heads(tensor, counts.n_key_value);
    match counts.n_in_group() {
        1 => heads,
        n_times => heads.repeat_interleave_self_int(size(n_times), 1, None),
    }
}

/// The reverse of [`heads`], a view of the same entries where there were heads.
fn headless(tensor: &Native) -> Native {
    tensor.transpose(1, 2).flatten(2, 3)
}

/// The gradient of [`heads_for_queries`], without heads.
fn headless_sums(tensor: &Native, counts: HeadCounts) -> Native {
    match counts.n_in_group() {
        1 => headless(tensor),
        n_times => {
            let groups =
                tensor.unflatten(1, [size(counts.n_key_value), size(n_times)]);
            headless(&groups.sum_dim_intlist(
                &[2_i64][..],
                false,
                tensor.kind(),
            ))
        }
    }
}

fn is_on_cpu(tensor: &Native) -> bool {
    tensor.device() == tch::Device::Cpu
}

pub(super) fn attention(of: &Attention<'_>) -> Attended {
    let queries = native(of.queries.clone());
    if !is_on_cpu(&queries) {
        return card::attention(of);
    }
    let keys_values = native(of.keys_values.clone());
    let mixed = queries.empty_like();
    let n_heads = of.heads.n_query;
    let log_sums = Native::empty(
        [queries.size()[0], size(n_heads)],
        (tch::Kind::Float, queries.device()),
    );
    for run in runs(&of.spans.documents) {
        let KeysValues { keys, values } = run.of_keys(&keys_values);
        let (output, sums) =
            Native::internal_scaled_dot_product_flash_attention_for_cpu(
                &heads(&run.of_queries(&queries), n_heads),
                &heads_for_queries(&keys, of.heads),
                &heads_for_queries(&values, of.heads),
                0.0,
                run.is_causal(),
                run.bias(&queries),
                None,
            );
        run.of_queries(&mixed).copy_(&headless(&output));
        run.of_queries(&log_sums).copy_(&sums.transpose(1, 2));
    }
    Attended {
        mixed: wrapped(mixed),
        log_sums: wrapped(log_sums),
    }
}

pub(super) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> AttentionGradients {
    let queries = native(of.queries.clone());
    if !is_on_cpu(&queries) {
        return card::attention_backward(of, attended, d_mixed);
    }
    let keys_values = native(of.keys_values.clone());
    let d_mixed = native(d_mixed);
    let mixed = native(attended.mixed);
    let log_sums = native(attended.log_sums);
    let d_queries = queries.empty_like();
    let d_keys_values = keys_values.zeros_like();
    let n_heads = of.heads.n_query;
    for run in runs(&of.spans.documents) {
        let KeysValues { keys, values } = run.of_keys(&keys_values);
        let (of_queries, of_keys, of_values) =
            Native::internal_scaled_dot_product_flash_attention_for_cpu_backward(
                &heads(&run.of_queries(&d_mixed), n_heads),
                &heads(&run.of_queries(&queries), n_heads),
                &heads_for_queries(&keys, of.heads),
                &heads_for_queries(&values, of.heads),
                &heads(&run.of_queries(&mixed), n_heads),
                &run.of_queries(&log_sums).transpose(1, 2).contiguous(),
                0.0,
                run.is_causal(),
                run.bias(&queries),
                None,
            );
        let mut gradients = run.of_keys(&d_keys_values);
        run.of_queries(&d_queries).copy_(&headless(&of_queries));
        gradients.keys.copy_(&headless_sums(&of_keys, of.heads));
        gradients.values.copy_(&headless_sums(&of_values, of.heads));
    }
    AttentionGradients {
        queries: wrapped(d_queries),
        keys_values: wrapped(d_keys_values),
    }
}
