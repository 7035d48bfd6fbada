//! Attention on LibTorch's graphics cards: its memory-efficient kernel, which
//! keeps no scores. It takes one length a call, so documents are padded;
//! products and everything else see real tokens alone.

use burn::tensor::Tensor;
use tch::{Kind, Tensor as Native};

use super::composed::{Heads, join, split};
use super::libtorch::{native, size, wrapped};
use super::operands::{Attended, Attention, AttentionGradients};

/// The kernel's number for a mask under which a query sees the keys up to its
/// own place.
const CAUSAL: i64 = 1;
/// How many parts keys are divided into: one, because the sums of several would
/// come in any order.
const ONE_SPLIT: i64 = 1;
/// The kernel wants the rows of the softmax's denominators in multiples of
/// this.
const ALIGNMENT: i64 = 32;

pub(super) fn attention(of: &Attention<'_>) -> Attended {
    let padded = of.spans.padded(&of.queries.device());
    let Heads {
        queries,
        keys,
        values,
    } = Heads::new(of, padded);
    let [queries, keys, values] = [queries, keys, values].map(native);
    let (mixed, log_sums, ..) =
        Native::internal_scaled_dot_product_efficient_attention(
            &queries,
            &keys,
            &values,
            None::<&Native>,
            true,
            0.0,
            true,
            None,
        );
    let log_sums = log_sums.narrow(2, 0, size(padded.longest)).unsqueeze(3); // [documents, heads, longest, 1]
    Attended {
        mixed: join(wrapped(mixed), &padded.queries),
        log_sums: join(wrapped(log_sums), &padded.queries),
    }
}

pub(super) fn attention_backward(
    of: &Attention<'_>,
    attended: Attended,
    d_mixed: Tensor<2>,
) -> AttentionGradients {
    let padded = of.spans.padded(&of.queries.device());
    let Heads {
        queries,
        keys,
        values,
    } = Heads::new(of, padded);
    // The kernel's way back has heads behind positions.
    let behind = |heads| native(heads).transpose(1, 2);
    let [queries, keys, values] = [queries, keys, values].map(behind);
    let heads = |packed| {
        behind(split(packed, &padded.queries, padded, of.heads.n_query))
    };
    let (none, undefined) = (None::<&Native>, Native::new());
    let (of_queries, of_keys, of_values, _) =
        Native::internal_efficient_attention_backward(
            &heads(d_mixed),
            &queries,
            &keys,
            &values,
            none,
            &heads(attended.mixed),
            none,
            none,
            size(padded.longest),
            size(padded.longest),
            &aligned(&heads(attended.log_sums)),
            0.0,
            &undefined,
            &undefined,
            CAUSAL,
            false,
            None,
            ONE_SPLIT,
            None,
            false,
        );
    let [queries, keys, values] = [of_queries, of_keys, of_values]
        .map(|gradient| wrapped(gradient.transpose(1, 2)));
    Heads {
        queries,
        keys,
        values,
    }
    .packed(padded, of.heads)
}

/// The logarithms as the kernel wants them; what is filled in counts nothing.
/// Shapes: `[documents, longest, heads, 1]` →
/// `[documents, heads, longest rounded up]`.
fn aligned(log_sums: &Native) -> Native {
    let [n_documents, longest, n_head] =
        [0, 1, 2].map(|dimension| log_sums.size()[dimension]);
    let rounded = (longest + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    let all = Native::full(
        [n_documents, n_head, rounded],
        f64::INFINITY,
        (Kind::Float, log_sums.device()),
    );
    all.narrow(2, 0, longest)
        .copy_(&log_sums.squeeze_dim(3).transpose(1, 2));
    all
}
