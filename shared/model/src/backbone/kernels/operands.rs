//! What kernels take and what they give, on every device.

use burn::tensor::Tensor;

use crate::backbone::layout::Spans;

/// How many heads attention has. Query head `h` reads key and value head
/// `h / (n_query / n_key_value)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadCounts {
    /// Heads of the queries, side by side in their width.
    pub(crate) n_query: usize,
    /// Heads of the keys, and as many of the values; divides `n_query`.
    pub(crate) n_key_value: usize,
}

impl HeadCounts {
    /// Query heads that read the same keys and values.
    pub(crate) fn n_in_group(self) -> usize {
        self.n_query / self.n_key_value
    }
}

/// What attention gives; its gradient needs both.
#[derive(Debug, Clone)]
pub(crate) struct Attended {
    /// Mixed values `[queries, n_query * head_dim]`.
    pub(crate) mixed: Tensor<2>,
    /// Logarithm of each softmax's denominator `[queries, n_query]`.
    pub(crate) log_sums: Tensor<2>,
}

/// Weights of a layer norm.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    /// The scale of each column `[width]`.
    pub(crate) gamma: Tensor<1>,
    /// The shift of each column `[width]`.
    pub(crate) beta: Tensor<1>,
    /// What is added to the variance, so that its root is not 0.
    pub(crate) epsilon: f64,
}

/// The weight of an RMS norm.
#[derive(Debug, Clone)]
pub(crate) struct RmsWeights {
    /// `[width]`
    pub(crate) weight: Tensor<1>,
    /// Added to the mean square.
    pub(crate) epsilon: f64,
}

/// How far the pairs of a head's entries are turned, row by row.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// Cosines `[rows, head_dim / 2]`.
    pub(crate) cos: Tensor<2>,
    /// Sines `[rows, head_dim / 2]`.
    pub(crate) sin: Tensor<2>,
}

impl Rotation {
    /// The rotation that undoes this one, which is its gradient too.
    pub(crate) fn inverse(&self) -> Self {
        Self {
            cos: self.cos.clone(),
            sin: -self.sin.clone(),
        }
    }
}

/// The heads at the beginning of each row; what lies behind them is left alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstHeads {
    pub(crate) n_heads: usize,
    pub(crate) head_dim: usize,
}

/// What goes into attention.
#[derive(Debug)]
pub(crate) struct Attention<'a> {
    /// Queries of all heads `[queries, n_query * head_dim]`.
    pub(crate) queries: Tensor<2>,
    /// Keys, then values `[keys, 2 * n_key_value * head_dim]`.
    pub(crate) keys_values: Tensor<2>,
    /// The documents; a token sees nothing outside of its own.
    pub(crate) spans: &'a Spans,
    /// How many heads the widths are divided into.
    pub(crate) heads: HeadCounts,
}

impl Attention<'_> {
    /// Width of a head of queries, keys or values.
    pub(super) fn head_dim(&self) -> usize {
        self.queries.dims()[1] / self.heads.n_query
    }
}

/// Gradients of what went into attention.
#[derive(Debug)]
pub(crate) struct AttentionGradients {
    /// Gradient of the queries `[queries, n_query * head_dim]`.
    pub(crate) queries: Tensor<2>,
    /// Gradients of the keys, then of the values
    /// `[keys, 2 * n_key_value * head_dim]`.
    pub(crate) keys_values: Tensor<2>,
}

/// A softmax's numerators and what they are divided by, row by row.
#[derive(Debug)]
pub(crate) struct Exponentials {
    /// `e^(x − highest of its row)` for each logit `x` `[rows, width]`.
    pub(crate) values: Tensor<2>,
    /// The highest logit `x` of each row.
    pub(crate) highest: Vec<f32>,
    /// The sum of each row of `values`.
    pub(crate) sums: Vec<f32>,
}
