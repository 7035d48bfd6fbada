//! The steps of a block that a CPU should do in one pass over memory, each with its gradient.
//!
//! On flex they are loops over slices ([`flex`]), on LibTorch its own fused operators
//! ([`libtorch`]); elsewhere, and under autodiff, they are compositions of burn's ([`composed`]),
//! which say what is computed. The tests at the foot hold the three together.

use burn::tensor::Tensor;

use crate::backbone::layout::Spans;
use crate::device::Engine;

#[cfg(feature = "tch")]
mod card;
mod composed;
mod flex;
mod heads;
#[cfg(feature = "tch")]
mod libtorch;
mod rows;

pub(crate) use rows::products;

/// What attention gives, and what its gradient needs.
#[derive(Debug, Clone)]
pub(crate) struct Attended {
    /// `[queries, embed]`
    pub(crate) mixed: Tensor<2>,
    /// Logarithm of each softmax's denominator `[queries, heads]`.
    pub(crate) log_sums: Tensor<2>,
}

/// Weights of a layer norm.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    /// `[width]`
    pub(crate) gamma: Tensor<1>,
    /// `[width]`
    pub(crate) beta: Tensor<1>,
    /// Added to the variance.
    pub(crate) epsilon: f64,
}

/// What goes into attention.
#[derive(Debug)]
pub(crate) struct Attention<'a> {
    /// `[queries, embed]`
    pub(crate) queries: Tensor<2>,
    /// Keys, then values `[keys, 2 embed]`.
    pub(crate) keys_values: Tensor<2>,
    /// The documents: nothing is seen beyond one's own.
    pub(crate) spans: &'a Spans,
    /// Heads, side by side in the width.
    pub(crate) n_head: usize,
}

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

/// `sum + lhs · rhs`. Shapes: `sum [m, n]` or `[1, n]`, `[m, k]`, `[k, n]` → `[m, n]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn add_product(sum: Tensor<2>, lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    on_engine!(lhs, add_product(sum, lhs, rhs))
}

/// `x · Φ(x)` by the tanh approximation (reference: `gelu_new`).
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn gelu(input: Tensor<2>) -> Tensor<2> {
    on_engine!(input, gelu(input))
}

/// Gradient of [`gelu`]'s input.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn gelu_backward(input: Tensor<2>, d_output: Tensor<2>) -> Tensor<2> {
    on_engine!(input, gelu_backward(input, d_output))
}

/// Shapes: `[rows, width]` → `[rows, width]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn layer_norm(input: Tensor<2>, norm: &Norm) -> Tensor<2> {
    on_engine!(input, layer_norm(input, norm))
}

/// Gradient of [`layer_norm`]'s input.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn layer_norm_backward(input: Tensor<2>, norm: &Norm, d_output: Tensor<2>) -> Tensor<2> {
    on_engine!(input, layer_norm_backward(input, norm, d_output))
}

/// Causal self-attention inside each document (reference: `GPT2Attention`).
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn attention(of: &Attention<'_>) -> Attended {
    on_engine!(of.queries, attention(of))
}

/// Gradients of queries and of keys and values.
///
/// Shapes: `d_mixed [queries, embed]` → `[queries, embed]`, `[keys, 2 embed]`.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> (Tensor<2>, Tensor<2>) {
    on_engine!(of.queries, attention_backward(of, attended, d_mixed))
}

/// `e^(x − highest of its row)`, each row's highest entry, and the sum of its exponentials.
#[tracing::instrument(level = "trace", skip_all)]
pub(crate) fn exponentials(logits: Tensor<2>) -> (Tensor<2>, Vec<f32>, Vec<f32>) {
    on_engine!(logits, exponentials(logits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    use crate::backbone::host::to_vec;
    use crate::backbone::layout::Span;
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

    fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str) {
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
            let (lhs, rhs) = (random([5, 7], &device), random([7, 12], &device));
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
            let biased = add_product(bias.clone(), lhs.clone(), columns.clone());
            assert_close(
                biased,
                composed::add_product(bias, lhs, columns.clone()),
                "bias",
            );
            let (d_output, sum) = (random([5, 6], &device), random([5, 7], &device));
            let back = add_product(sum.clone(), d_output.clone(), columns.clone().transpose());
            assert_close(
                back,
                composed::add_product(sum, d_output, columns.transpose()),
                "transposed",
            );
        }
    }

    #[test]
    fn pointwise_kernels_are_the_compositions() {
        for device in devices() {
            let (input, d_output) = (random([37, 45], &device), random([37, 45], &device));
            assert_close(gelu(input.clone()), composed::gelu(input.clone()), "gelu");
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
            let found = layer_norm_backward(input.clone(), &norm, d_output.clone());
            assert_close(
                found,
                composed::layer_norm_backward(input.clone(), &norm, d_output),
                "layer norm backward",
            );

            let (found, expected) = (exponentials(input.clone()), composed::exponentials(input));
            assert_close(found.0, expected.0, "exponentials");
            assert_eq!(found.1, expected.1, "highest");
            found
                .2
                .iter()
                .zip(&expected.2)
                .for_each(|(found, expected)| assert!((found / expected - 1.0).abs() < 1e-6));
        }
    }

    #[test]
    fn attention_is_the_composition_whatever_is_read_of_a_document() {
        // Whole, its last token, its end, nothing, long; twice the same length.
        let spans = [(5, 5), (7, 1), (9, 5), (9, 5), (3, 0), (150, 150), (1, 1)];
        let (mut n_keys, mut n_queries) = (0, 0);
        let spans = spans.map(|(length, n_read)| {
            let span = Span {
                keys: n_keys..n_keys + length,
                queries: n_queries..n_queries + n_read,
            };
            (n_keys, n_queries) = (span.keys.end, span.queries.end);
            span
        });
        let spans = Spans::new(spans.to_vec());
        for device in devices() {
            let (queries, keys_values) = (
                random([n_queries, 12], &device),
                random([n_keys, 24], &device),
            );
            let of = Attention {
                queries,
                keys_values,
                spans: &spans,
                n_head: 3,
            };
            let (found, expected) = (attention(&of), composed::attention(&of));
            assert_close(found.mixed.clone(), expected.mixed.clone(), "mixed");
            assert_close(found.log_sums.clone(), expected.log_sums.clone(), "sums");
            let d_mixed = random([n_queries, 12], &device);
            let (d_queries, d_keys_values) = attention_backward(&of, found, d_mixed.clone());
            let (of_queries, of_keys_values) = composed::attention_backward(&of, expected, d_mixed);
            assert_close(d_queries, of_queries, "queries");
            assert_close(d_keys_values, of_keys_values, "keys and values");
        }
    }
}
