//! The gradients of [`super::heads`]: one head of keys and values of a document
//! after the other on each thread, with all query heads that read it.

use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, ColRef, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::heads::{
    Block, Heads, Outputs, Scratch, by_document_and_head, matrix, matrix_mut,
    rows_of, rows_to,
};
use super::memory;
use super::rows;
use crate::backbone::layout::Span;

/// What the way back gives, row-major.
pub(super) struct HeadGradients {
    /// Gradient of the queries `[queries, n_query * head_dim]`.
    pub(super) queries: Vec<f32>,
    /// Gradients of the keys, then of the values
    /// `[keys, 2 * n_key_value * head_dim]`.
    pub(super) keys_values: Vec<f32>,
}

/// The way back, and what it starts from: all query heads side by side.
struct Backward<'a> {
    heads: &'a Heads<'a>,
    /// The mixed values `[queries, n_query * head_dim]`.
    mixed: MatRef<'a, f32>,
    /// Logarithm of each softmax's denominator `[queries, n_query]`.
    log_sums: MatRef<'a, f32>,
    /// Gradient of the mixed values `[queries, n_query * head_dim]`.
    d_mixed: MatRef<'a, f32>,
}

/// Where gradients in a document are written to: those of one head, or of a
/// group of query heads and the head of keys and values that they read.
struct Gradients<'a> {
    queries: MatMut<'a, f32>,
    keys: MatMut<'a, f32>,
    values: MatMut<'a, f32>,
}

impl Heads<'_> {
    /// Gradients of queries, keys and values.
    pub(super) fn backward(
        &self,
        outputs: &Outputs<&[f32]>,
        d_mixed: &[f32],
    ) -> HeadGradients {
        let n_heads = self.counts.n_key_value;
        let query_width = self.counts.n_query * self.head_dim;
        let width = n_heads * self.head_dim;
        let mut d_queries = memory::buffer(self.queries.nrows() * query_width);
        let mut d_both = memory::zeros(self.keys.nrows() * 2 * width);

        let backward = Backward {
            heads: self,
            mixed: matrix(outputs.mixed, query_width),
            log_sums: matrix(outputs.log_sums, self.counts.n_query),
            d_mixed: matrix(d_mixed, query_width),
        };
        let parts = backward.parts(&mut d_queries, &mut d_both);
        parts.into_par_iter().enumerate().for_each_init(
            Scratch::default,
            |scratch, (place, gradients)| {
                let span = &self.spans[place / n_heads];
                let group = Group {
                    backward: &backward,
                    span,
                    first_head: place % n_heads * self.counts.n_in_group(),
                };
                group.add(scratch, gradients);
            },
        );

        HeadGradients {
            queries: d_queries,
            keys_values: d_both,
        }
    }
}

impl Backward<'_> {
    /// Where each head of keys and values of each document is written to.
    fn parts<'a>(
        &self,
        d_queries: &'a mut [f32],
        d_both: &'a mut [f32],
    ) -> Vec<Gradients<'a>> {
        let Heads {
            counts, head_dim, ..
        } = *self.heads;
        let width = counts.n_key_value * head_dim;
        let both = matrix_mut(d_both, 2 * width);
        let (of_keys, of_values) = both.split_at_col_mut(width);
        let n_keys = || self.heads.n_keys();
        let keys = by_document_and_head(of_keys, n_keys(), head_dim);
        let values = by_document_and_head(of_values, n_keys(), head_dim);
        let queries = by_document_and_head(
            matrix_mut(d_queries, counts.n_query * head_dim),
            self.heads.n_queries(),
            counts.n_in_group() * head_dim,
        );

        let mut parts = Vec::with_capacity(queries.len());
        for ((queries, keys), values) in
            queries.into_iter().zip(keys).zip(values)
        {
            parts.push(Gradients {
                queries,
                keys,
                values,
            });
        }
        parts
    }

    /// What a query head gave in a document.
    fn outputs_of(&self, span: &Span, head: usize) -> HeadOutputs<'_> {
        let head_dim = self.heads.head_dim;
        let rows = &span.queries;
        let first = head * head_dim;
        HeadOutputs {
            mixed: rows_of(self.mixed, rows).subcols(first, head_dim),
            log_sums: rows_of(self.log_sums, rows).col(head),
            d_mixed: rows_of(self.d_mixed, rows).subcols(first, head_dim),
        }
    }
}

/// A head of keys and values in a document, and the query heads that read it.
struct Group<'a> {
    backward: &'a Backward<'a>,
    span: &'a Span,
    /// The first of those query heads.
    first_head: usize,
}

impl Group<'_> {
    /// Writes the gradients of the queries, and adds to those of the keys and
    /// values.
    fn add(&self, scratch: &mut Scratch, mut gradients: Gradients<'_>) {
        let head_dim = self.backward.heads.head_dim;
        for place in 0..self.backward.heads.counts.n_in_group() {
            let queries = gradients.queries.rb_mut();
            let of_head = Gradients {
                queries: queries.subcols_mut(place * head_dim, head_dim),
                keys: gradients.keys.rb_mut(),
                values: gradients.values.rb_mut(),
            };
            self.add_head(self.first_head + place, scratch, of_head);
        }
    }

    /// Writes a query head's gradient, and adds to those of the keys and values
    /// that it reads.
    fn add_head(
        &self,
        head: usize,
        scratch: &mut Scratch,
        mut gradients: Gradients<'_>,
    ) {
        let outputs = self.backward.outputs_of(self.span, head);
        let head = self.backward.heads.of_document(self.span, head);
        let scale = head.scale;
        for block in head.blocks() {
            let n_queries = block.queries.len();
            let n_keys = block.keys.len();
            let size = n_queries * n_keys;
            scratch.scores.resize(size, 0.0);
            scratch.d_scores.resize(size, 0.0);
            let scores = &mut scratch.scores[..size];
            let d_scores = &mut scratch.d_scores[..size];

            let q = rows_of(head.queries, &block.queries);
            let k = rows_of(head.keys, &block.keys);
            let v = rows_of(head.values, &block.keys);
            let d = rows_of(outputs.d_mixed, &block.queries);

            let product = matrix_mut(scores, n_keys);
            matmul(product, Accum::Replace, q, k.transpose(), scale, Par::Seq);
            let product = matrix_mut(d_scores, n_keys);
            matmul(product, Accum::Replace, d, v.transpose(), 1.0, Par::Seq);
            outputs.shares_and_gradients(&block, scores, d_scores);

            let shares = matrix(scores, n_keys).transpose();
            let d_scores = matrix(d_scores, n_keys);
            let d_scores_t = d_scores.transpose();
            let of_queries = rows_to(&mut gradients.queries, &block.queries);
            let of_keys = rows_to(&mut gradients.keys, &block.keys);
            let of_values = rows_to(&mut gradients.values, &block.keys);

            matmul(of_values, Accum::Add, shares, d, 1.0, Par::Seq);
            matmul(of_keys, Accum::Add, d_scores_t, q, scale, Par::Seq);
            matmul(of_queries, Accum::Replace, d_scores, k, scale, Par::Seq);
        }
    }
}

/// What a query head gave in a document, and the gradient of it.
struct HeadOutputs<'a> {
    /// The mixed values `[queries, head_dim]`.
    mixed: MatRef<'a, f32>,
    /// Logarithm of each softmax's denominator `[queries]`.
    log_sums: ColRef<'a, f32>,
    /// Gradient of the mixed values `[queries, head_dim]`.
    d_mixed: MatRef<'a, f32>,
}

impl HeadOutputs<'_> {
    /// Makes shares of the scores, and gradients of the scores of those of the
    /// shares, both `[queries, keys]` of a block.
    fn shares_and_gradients(
        &self,
        block: &Block,
        scores: &mut [f32],
        d_scores: &mut [f32],
    ) {
        let n_keys = block.keys.len();
        for (row, (scores, d_scores)) in scores
            .chunks_exact_mut(n_keys)
            .zip(d_scores.chunks_exact_mut(n_keys))
            .enumerate()
        {
            let query = block.queries.start + row;
            let log_sum = self.log_sums[query];
            let n_seen = block.first_sees + row;
            Arch::new().dispatch(|| {
                let along = self.along(query);
                for (score, gradient) in
                    scores[..n_seen].iter_mut().zip(&mut d_scores[..n_seen])
                {
                    *score = rows::exp(*score - log_sum);
                    *gradient = *score * (*gradient - along);
                }
            });
            scores[n_seen..].fill(0.0);
            d_scores[n_seen..].fill(0.0);
        }
    }

    /// `Σ mixed · d_mixed` of a query: what the softmax's gradient takes away.
    #[inline(always)]
    fn along(&self, query: usize) -> f32 {
        let mixed = entries(self.mixed, query);
        let d_mixed = entries(self.d_mixed, query);
        rows::sum_of(mixed, d_mixed, |x, y| x * y)
    }
}

/// A row of a row-major matrix.
fn entries<'a>(matrix: MatRef<'a, f32>, row: usize) -> &'a [f32] {
    let row = matrix.row(row).try_as_row_major();
    row.expect("the matrix was made of row-major memory")
        .as_slice()
}
