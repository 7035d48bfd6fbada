//! The steps of a block that a CPU should do in one pass over memory, each with
//! its gradient.
//!
//! On flex they are loops over slices ([`flex`]), on LibTorch its own fused
//! operators ([`libtorch`]); elsewhere, and under autodiff, they are
//! compositions of burn's ([`composed`]), which say what is computed. The tests
//! at the foot hold the three together. A kernel for a new kind of layer is a
//! function here and one in each of these files.

use burn::tensor::Tensor;

use crate::device::Engine;

/// What kernels take and what they give, on every device.
mod operands;

/// Each kernel as burn's own operators: the meaning of the others, for devices
/// without any.
mod composed;

/// Kernels on host memory, by loops over its rows.
mod flex;
/// Flex tensors as host memory.
mod flex_tensors;
/// Attention on host memory, a head at a time.
mod heads;
/// The gradients of that attention.
mod heads_backward;
/// Loops over rows for the layers of the Llama family.
mod llama_rows;
/// Memory that is used again.
mod memory;
/// Loops over rows, compiled for the widest vectors of the machine.
mod rows;

/// Inner products of many rows with a few states.
mod products;

/// Products with weights that are kept in bf16, on host memory.
mod packed;
/// Their inner loops.
mod panels;

/// LibTorch's attention on graphics cards.
#[cfg(feature = "tch")]
mod card;
/// Kernels that are LibTorch's fused operators.
#[cfg(feature = "tch")]
mod libtorch;

pub(crate) use memory::MatrixMemory;
use operands::Exponentials;
pub(crate) use operands::{
    Attended, Attention, AttentionGradients, FirstHeads, HeadCounts, Norm,
    RmsWeights, Rotation,
};
pub(crate) use packed::PackedMatrix;
pub(crate) use products::products;

/// Chooses the implementation for a tensor's device.
macro_rules! on_engine {
    ($tensor:expr, $call:ident($($argument:expr),*)) => {
        match Engine::of(&$tensor) {
            Engine::Flex => flex::$call($($argument),*),
            #[cfg(feature = "tch")]
            Engine::LibTorch => libtorch::$call($($argument),*),
            Engine::Other => composed::$call($($argument),*),
        }
    };
}

/// `lhs · rhs`. Shapes: `[m, k]`, `[k, n]` → `[m, n]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn product(lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    on_engine!(lhs, product(lhs, rhs))
}

/// `sum + lhs · rhs`. Shapes: `sum [m, n]` or `[1, n]`, `[m, k]`, `[k, n]` →
/// `[m, n]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn add_product(
    sum: Tensor<2>,
    lhs: Tensor<2>,
    rhs: Tensor<2>,
) -> Tensor<2> {
    on_engine!(lhs, add_product(sum, lhs, rhs))
}

/// `x · Φ(x)` by the tanh approximation (reference: `gelu_new`).
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn gelu(input: Tensor<2>) -> Tensor<2> {
    on_engine!(input, gelu(input))
}

/// Gradient of [`gelu`]'s input.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn gelu_backward(
    input: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    on_engine!(input, gelu_backward(input, d_output))
}

/// Each row shifted and scaled to mean 0 and variance 1, then `· gamma + beta`.
/// Shapes: `[rows, width]` → `[rows, width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn layer_norm(input: Tensor<2>, norm: &Norm) -> Tensor<2> {
    on_engine!(input, layer_norm(input, norm))
}

/// Gradient of [`layer_norm`]'s input.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn layer_norm_backward(
    input: Tensor<2>,
    norm: &Norm,
    d_output: Tensor<2>,
) -> Tensor<2> {
    on_engine!(input, layer_norm_backward(input, norm, d_output))
}

/// Each row scaled to a mean square of 1, then times the weight (reference:
/// `LlamaRMSNorm`). Shapes: `[rows, width]` → `[rows, width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn rms_norm(input: Tensor<2>, norm: &RmsWeights) -> Tensor<2> {
    on_engine!(input, rms_norm(input, norm))
}

/// Gradient of [`rms_norm`]'s input.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn rms_norm_backward(
    input: Tensor<2>,
    norm: &RmsWeights,
    d_output: Tensor<2>,
) -> Tensor<2> {
    on_engine!(input, rms_norm_backward(input, norm, d_output))
}

/// [`rms_norm_backward`], added to `sum`. Shapes: all `[rows, width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn add_rms_norm_backward(
    sum: Tensor<2>,
    input: Tensor<2>,
    norm: &RmsWeights,
    d_output: Tensor<2>,
) -> Tensor<2> {
    on_engine!(input, add_rms_norm_backward(sum, input, norm, d_output))
}

/// Turns each pair of entries `(i, i + head_dim / 2)` of the first heads
/// (reference: `apply_rotary_pos_emb`). Shapes: `[rows, width]` → `[rows,
/// width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn rotate(
    input: Tensor<2>,
    rotation: &Rotation,
    heads: FirstHeads,
) -> Tensor<2> {
    on_engine!(input, rotate(input, rotation, heads))
}

/// `silu(gate) · up` (reference: `LlamaMLP`). Shapes: gate, then up `[rows, 2
/// inner]` → `[rows, inner]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    on_engine!(gate_up, swiglu(gate_up))
}

/// Gradient of [`swiglu`]'s input. Shapes: `[rows, 2 inner]`, `[rows, inner]` →
/// `[rows, 2 inner]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn swiglu_backward(
    gate_up: Tensor<2>,
    d_output: Tensor<2>,
) -> Tensor<2> {
    on_engine!(gate_up, swiglu_backward(gate_up, d_output))
}

/// Causal self-attention inside each document (reference: `GPT2Attention`).
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn attention(of: &Attention<'_>) -> Attended {
    on_engine!(of.queries, attention(of))
}

/// Gradients of what went into [`attention`]. Shapes:
/// `d_mixed [queries, n_query * head_dim]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> AttentionGradients {
    on_engine!(of.queries, attention_backward(of, attended, d_mixed))
}

/// Exponentials of logits and their sums, from which softmaxes are made.
/// Shapes: `[rows, width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn exponentials(logits: Tensor<2>) -> Exponentials {
    on_engine!(logits, exponentials(logits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    use crate::backbone::host::to_vec;
    use crate::backbone::layout::{Span, Spans};
    use crate::device::{available_devices, compute_device};

    /// Each device of this build that has kernels of its own.
    fn devices() -> impl Iterator<Item = Device> {
        available_devices()
            .into_iter()
            .map(|name| compute_device(&name).unwrap().device)
    }

    fn random(shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::random(shape, Distribution::Uniform(-3.0, 3.0), device)
    }

    fn assert_close<const D: usize>(
        found: Tensor<D>,
        expected: Tensor<D>,
        what: &str,
    ) {
        assert_eq!(found.dims(), expected.dims(), "{what}");
        let (found, expected) = (to_vec(found), to_vec(expected));
        let largest = expected
            .iter()
            .fold(1e-6_f32, |largest, x| largest.max(x.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 2e-6 * largest,
                "{what}: {found} {expected}"
            );
        }
    }

    #[test]
    fn products_see_views_as_what_they_show() {
        for device in devices() {
            let (lhs, rhs) =
                (random([5, 7], &device), random([7, 12], &device));
            let columns = rhs.clone().slice([0..7, 3..9]);
            let (product, sum) = (
                product(lhs.clone(), columns.clone()),
                random([5, 6], &device),
            );
            assert_close(
                product,
                composed::product(lhs.clone(), columns.clone()),
                "product",
            );
            let onto = add_product(sum.clone(), lhs.clone(), columns.clone());
            assert_close(
                onto,
                composed::add_product(sum, lhs.clone(), columns.clone()),
                "sum of matrices",
            );
            let bias = random([1, 6], &device);
            let biased =
                add_product(bias.clone(), lhs.clone(), columns.clone());
            assert_close(
                biased,
                composed::add_product(bias, lhs, columns.clone()),
                "bias",
            );
            let (d_output, sum) =
                (random([5, 6], &device), random([5, 7], &device));
            let back = add_product(
                sum.clone(),
                d_output.clone(),
                columns.clone().transpose(),
            );
            assert_close(
                back,
                composed::add_product(sum, d_output, columns.transpose()),
                "transposed",
            );
        }
    }

    #[test]
    fn what_memory_held_before_is_not_seen() {
        let device = Device::flex();
        let (lhs, rhs) =
            (random([256, 256], &device), random([256, 256], &device));
        for _ in 0..3 {
            // What a product has read is the memory of the next one.
            let nan = Tensor::full([256, 256], f32::NAN, &device);
            drop(product(nan, rhs.clone()));
            assert_close(
                product(lhs.clone(), rhs.clone()),
                composed::product(lhs.clone(), rhs.clone()),
                "product",
            );
        }
    }

    #[test]
    fn pointwise_kernels_are_the_compositions() {
        for device in devices() {
            let (input, d_output) =
                (random([37, 45], &device), random([37, 45], &device));
            assert_close(
                gelu(input.clone()),
                composed::gelu(input.clone()),
                "gelu",
            );
            let (found, expected) = (
                gelu_backward(input.clone(), d_output.clone()),
                composed::gelu_backward(input.clone(), d_output.clone()),
            );
            assert_close(found, expected, "gelu backward");

            let [gamma, beta] = [
                random([1, 45], &device).reshape([45]),
                random([1, 45], &device).reshape([45]),
            ];
            let norm = Norm {
                gamma,
                beta,
                epsilon: 1e-5,
            };
            assert_close(
                layer_norm(input.clone(), &norm),
                composed::layer_norm(input.clone(), &norm),
                "layer norm",
            );
            let found =
                layer_norm_backward(input.clone(), &norm, d_output.clone());
            assert_close(
                found,
                composed::layer_norm_backward(input.clone(), &norm, d_output),
                "layer norm backward",
            );

            let (found, expected) =
                (exponentials(input.clone()), composed::exponentials(input));
            assert_close(found.values, expected.values, "exponentials");
            assert_eq!(found.highest, expected.highest, "highest");
            for (found, expected) in found.sums.iter().zip(&expected.sums) {
                assert!((found / expected - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_llama_familys_kernels_are_the_compositions() {
        for device in devices() {
            let (input, d_output) =
                (random([37, 45], &device), random([37, 45], &device));
            let norm = RmsWeights {
                weight: random([1, 45], &device).reshape([45]),
                epsilon: 1e-5,
            };
            let (found, expected) = (
                rms_norm(input.clone(), &norm),
                composed::rms_norm(input.clone(), &norm),
            );
            assert_close(found, expected, "RMS norm");
            let found =
                rms_norm_backward(input.clone(), &norm, d_output.clone());
            let expected = composed::rms_norm_backward(
                input.clone(),
                &norm,
                d_output.clone(),
            );
            assert_close(found, expected.clone(), "RMS norm backward");
            let sum = random([37, 45], &device);
            let found =
                add_rms_norm_backward(sum.clone(), input, &norm, d_output);
            assert_close(found, sum + expected, "RMS norm backward, added");

            let (gate_up, d_output) =
                (random([37, 90], &device), random([37, 45], &device));
            let (found, expected) =
                (swiglu(gate_up.clone()), composed::swiglu(gate_up.clone()));
            assert_close(found, expected, "SwiGLU");
            let found = swiglu_backward(gate_up.clone(), d_output.clone());
            let expected = composed::swiglu_backward(gate_up, d_output);
            assert_close(found, expected, "SwiGLU backward");

            let angles = random([37, 4], &device);
            let rotation = Rotation {
                cos: angles.clone().cos(),
                sin: angles.sin(),
            };
            let heads = FirstHeads {
                n_heads: 3,
                head_dim: 8,
            };
            for width in [24, 30] {
                let input = random([37, width], &device);
                let found = rotate(input.clone(), &rotation, heads);
                let expected =
                    composed::rotate(input.clone(), &rotation, heads);
                assert_close(found.clone(), expected, "rotation");
                let back = rotate(found, &rotation.inverse(), heads);
                assert_close(back, input, "rotation and back");
            }
        }
    }

    /// Documents that are read whole, at their last token, at their end, not at
    /// all; a long one; two of the same length that follow each other.
    fn spans() -> Vec<Span> {
        let mut spans = Vec::new();
        let (mut n_keys, mut n_queries) = (0, 0);
        for (length, n_read) in
            [(5, 5), (7, 1), (9, 5), (9, 5), (3, 0), (150, 150), (1, 1)]
        {
            spans.push(Span {
                keys: n_keys..n_keys + length,
                queries: n_queries..n_queries + n_read,
            });
            n_keys += length;
            n_queries += n_read;
        }
        spans
    }

    #[test]
    fn attention_is_the_composition_whatever_is_read_of_a_document() {
        for device in devices() {
            for n_key_value in [3, 1] {
                let heads = HeadCounts {
                    n_query: 3,
                    n_key_value,
                };
                check_attention(heads, &device);
            }
            let grouped = HeadCounts {
                n_query: 6,
                n_key_value: 2,
            };
            check_attention(grouped, &device);
        }
    }

    fn check_attention(heads: HeadCounts, device: &Device) {
        const HEAD_DIM: usize = 4;
        let spans = Spans::new(spans());
        let last = &spans.documents[spans.documents.len() - 1];
        let (n_queries, n_keys) = (last.queries.end, last.keys.end);
        let width = heads.n_query * HEAD_DIM;
        let of = Attention {
            queries: random([n_queries, width], device),
            keys_values: random(
                [n_keys, 2 * heads.n_key_value * HEAD_DIM],
                device,
            ),
            spans: &spans,
            heads,
        };
        let (found, expected) = (attention(&of), composed::attention(&of));
        assert_close(found.mixed.clone(), expected.mixed.clone(), "mixed");
        assert_close(found.log_sums.clone(), expected.log_sums.clone(), "sums");
        let d_mixed = random([n_queries, width], device);
        let found = attention_backward(&of, found, d_mixed.clone());
        let expected = composed::attention_backward(&of, expected, d_mixed);
        assert_close(found.queries, expected.queries, "queries");
        assert_close(
            found.keys_values,
            expected.keys_values,
            "keys and values",
        );
    }
}
