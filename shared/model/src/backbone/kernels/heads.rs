//! Causal attention inside documents on slices, one head after the other on
//! each thread. A block of queries at a time sees only the keys up to its last
//! one, so no more scores exist than [`BLOCK`] rows of the longest document.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, ColRef, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::operands::{Attention, HeadCounts};
use super::rows;
use crate::backbone::layout::Span;

/// Queries whose scores are computed together.
const BLOCK: usize = 64;

/// Queries, keys and values of all heads, side by side.
pub(super) struct Heads<'a> {
    /// The queries `[queries, n_query * head_dim]`.
    queries: MatRef<'a, f32>,
    /// The keys `[keys, n_key_value * head_dim]`.
    keys: MatRef<'a, f32>,
    /// The values `[keys, n_key_value * head_dim]`.
    values: MatRef<'a, f32>,
    spans: &'a [Span],
    counts: HeadCounts,
    head_dim: usize,
    /// What scores are multiplied with.
    scale: f32,
}

/// What the forward pass gives, row-major.
pub(super) struct Outputs<T> {
    /// Mixed values `[queries, n_query * head_dim]`.
    pub(super) mixed: T,
    /// Logarithm of each softmax's denominator `[queries, n_query]`.
    pub(super) log_sums: T,
}

/// What the way back gives, row-major.
pub(super) struct HeadGradients {
    /// Gradient of the queries `[queries, n_query * head_dim]`.
    pub(super) queries: Vec<f32>,
    /// Gradients of the keys, then of the values
    /// `[keys, 2 * n_key_value * head_dim]`.
    pub(super) keys_values: Vec<f32>,
}

/// Some queries of a document, and all keys that the last of them sees.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
    /// How many keys the first query sees; each next one sees one more.
    first_sees: usize,
}

fn blocks(span: &Span) -> impl Iterator<Item = Block> + '_ {
    let starts = (0..span.queries.len()).step_by(BLOCK);
    starts.map(|start| {
        let end = (start + BLOCK).min(span.queries.len());
        Block {
            queries: span.queries.start + start..span.queries.start + end,
            keys: span.keys.start..span.keys.start + span.offset() + end,
            first_sees: span.offset() + start + 1,
        }
    })
}

fn matrix(values: &[f32], n_columns: usize) -> MatRef<'_, f32> {
    let n_rows = values.len() / n_columns;
    MatRef::from_row_major_slice(values, n_rows, n_columns)
}

fn matrix_mut(values: &mut [f32], n_columns: usize) -> MatMut<'_, f32> {
    let n_rows = values.len() / n_columns;
    MatMut::from_row_major_slice_mut(values, n_rows, n_columns)
}

fn rows_to<'a>(
    matrix: &'a mut MatMut<'_, f32>,
    rows: &Range<usize>,
) -> MatMut<'a, f32> {
    matrix.rb_mut().subrows_mut(rows.start, rows.len())
}

fn rows_of<'a>(
    matrix: MatRef<'a, f32>,
    rows: &Range<usize>,
) -> MatRef<'a, f32> {
    matrix.subrows(rows.start, rows.len())
}

/// The memory that a thread uses again for each block of queries.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    d_scores: Vec<f32>,
}

impl<'a> Heads<'a> {
    /// The row-major memory of an attention's tensors as matrices. Shapes:
    /// `queries [queries, n_query * head_dim]`,
    /// `keys_values [keys, 2 * n_key_value * head_dim]`.
    pub(super) fn new(
        queries: &'a [f32],
        keys_values: &'a [f32],
        of: &Attention<'a>,
    ) -> Self {
        let counts = of.heads;
        let head_dim = of.head_dim();
        let query_width = counts.n_query * head_dim;
        let width = counts.n_key_value * head_dim;
        let both = matrix(keys_values, 2 * width);
        let (keys, values) = both.split_at_col(width);
        Self {
            queries: matrix(queries, query_width),
            keys,
            values,
            spans: &of.spans.documents,
            counts,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
        }
    }

    fn head(&self, matrix: MatRef<'a, f32>, head: usize) -> MatRef<'a, f32> {
        matrix.subcols(head * self.head_dim, self.head_dim)
    }

    /// The head of keys and values that a query head reads.
    fn read_by(&self, query_head: usize) -> usize {
        query_head / self.counts.n_in_group()
    }

    /// Mixes the values, one query head after the other on each thread.
    pub(super) fn forward(&self) -> Outputs<Vec<f32>> {
        let n_queries = self.queries.nrows();
        let n_heads = self.counts.n_query;
        let width = n_heads * self.head_dim;
        let mut mixed = vec![0.0; n_queries * width];
        let mut log_sums = vec![0.0; n_queries * n_heads];

        let of_heads =
            matrix_mut(&mut mixed, width).par_col_chunks_mut(self.head_dim);
        let sums_of_heads =
            matrix_mut(&mut log_sums, n_heads).par_col_chunks_mut(1);
        of_heads.zip(sums_of_heads).enumerate().for_each_init(
            Scratch::default,
            |scratch, (head, (mixed, log_sums))| {
                self.forward_head(head, scratch, Outputs { mixed, log_sums });
            },
        );

        Outputs { mixed, log_sums }
    }

    fn forward_head(
        &self,
        head: usize,
        scratch: &mut Scratch,
        to: Outputs<MatMut<'_, f32>>,
    ) {
        let Outputs {
            mut mixed,
            mut log_sums,
        } = to;
        let queries = self.head(self.queries, head);
        let keys = self.head(self.keys, self.read_by(head));
        let values = self.head(self.values, self.read_by(head));

        for block in self.spans.iter().flat_map(blocks) {
            let n_queries = block.queries.len();
            let n_keys = block.keys.len();

            let q = rows_of(queries, &block.queries);
            let k = rows_of(keys, &block.keys).transpose();
            let v = rows_of(values, &block.keys);
            scratch.scores.resize(n_queries * n_keys, 0.0);
            let scores = &mut scratch.scores[..n_queries * n_keys];

            let product = matrix_mut(scores, n_keys);
            matmul(product, Accum::Replace, q, k, self.scale, Par::Seq);

            for (row, scores) in scores.chunks_exact_mut(n_keys).enumerate() {
                let n_seen = block.first_sees + row;
                let (seen, unseen) = scores.split_at_mut(n_seen);
                let log_sum = Arch::new().dispatch(|| rows::softmax(seen));
                log_sums[(block.queries.start + row, 0)] = log_sum;
                unseen.fill(0.0);
            }

            let shares = matrix(scores, n_keys);
            let mixed = rows_to(&mut mixed, &block.queries);
            matmul(mixed, Accum::Replace, shares, v, 1.0, Par::Seq);
        }
    }

    /// Gradients of queries, keys and values, one head of keys and values after
    /// the other on each thread, with all query heads that read it.
    pub(super) fn backward(
        &self,
        outputs: &Outputs<&[f32]>,
        d_mixed: &[f32],
    ) -> HeadGradients {
        let n_queries = self.queries.nrows();
        let n_keys = self.keys.nrows();
        let query_width = self.counts.n_query * self.head_dim;
        let width = self.counts.n_key_value * self.head_dim;
        let mut d_queries = vec![0.0; n_queries * query_width];
        let mut d_both = vec![0.0; n_keys * 2 * width];

        let backward = Backward {
            heads: self,
            mixed: matrix(outputs.mixed, query_width),
            log_sums: matrix(outputs.log_sums, self.counts.n_query),
            d_mixed: matrix(d_mixed, query_width),
        };

        let group_width = self.counts.n_in_group() * self.head_dim;
        let of_queries = matrix_mut(&mut d_queries, query_width);
        let of_queries = of_queries.par_col_chunks_mut(group_width);
        let both = matrix_mut(&mut d_both, 2 * width);
        let (of_keys, of_values) = both.split_at_col_mut(width);
        let of_keys = of_keys.par_col_chunks_mut(self.head_dim);
        let of_values = of_values.par_col_chunks_mut(self.head_dim);
        of_queries
            .zip(of_keys)
            .zip(of_values)
            .enumerate()
            .for_each_init(Scratch::default, |scratch, (head, parts)| {
                let ((queries, keys), values) = parts;
                let gradients = Gradients {
                    queries,
                    keys,
                    values,
                };
                backward.group(head, scratch, gradients);
            });

        HeadGradients {
            queries: d_queries,
            keys_values: d_both,
        }
    }
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

/// Where gradients are written to: those of one head, or of a group of query
/// heads and the head of keys and values that they read.
struct Gradients<'a> {
    queries: MatMut<'a, f32>,
    keys: MatMut<'a, f32>,
    values: MatMut<'a, f32>,
}

impl Backward<'_> {
    /// The gradients of one head of keys and values and of the query heads that
    /// read it.
    fn group(
        &self,
        key_value_head: usize,
        scratch: &mut Scratch,
        mut gradients: Gradients<'_>,
    ) {
        let head_dim = self.heads.head_dim;
        let n_in_group = self.heads.counts.n_in_group();
        for place in 0..n_in_group {
            let query_head = key_value_head * n_in_group + place;
            let queries = gradients.queries.rb_mut();
            let of_head = Gradients {
                queries: queries.subcols_mut(place * head_dim, head_dim),
                keys: gradients.keys.rb_mut(),
                values: gradients.values.rb_mut(),
            };
            self.head(query_head, scratch, of_head);
        }
    }

    /// Writes a query head's gradient, and adds to those of the keys and values
    /// that it reads.
    fn head(
        &self,
        head: usize,
        scratch: &mut Scratch,
        mut gradients: Gradients<'_>,
    ) {
        let heads = self.heads;
        let scale = heads.scale;
        let outputs = self.outputs_of(head);
        let queries = heads.head(heads.queries, head);
        let keys = heads.head(heads.keys, heads.read_by(head));
        let values = heads.head(heads.values, heads.read_by(head));

        for block in heads.spans.iter().flat_map(blocks) {
            let n_queries = block.queries.len();
            let n_keys = block.keys.len();
            let size = n_queries * n_keys;
            scratch.scores.resize(size, 0.0);
            scratch.d_scores.resize(size, 0.0);
            let scores = &mut scratch.scores[..size];
            let d_scores = &mut scratch.d_scores[..size];

            let q = rows_of(queries, &block.queries);
            let k = rows_of(keys, &block.keys);
            let v = rows_of(values, &block.keys);
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

    fn outputs_of(&self, head: usize) -> HeadOutputs<'_> {
        let head_dim = self.heads.head_dim;
        HeadOutputs {
            mixed: self.mixed.subcols(head * head_dim, head_dim),
            log_sums: self.log_sums.col(head),
            d_mixed: self.d_mixed.subcols(head * head_dim, head_dim),
        }
    }
}

/// What a query head gave in the forward pass, and the gradient of it.
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
            let along = self.along(query);
            let n_seen = block.first_sees + row;
            Arch::new().dispatch(|| {
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
    fn along(&self, query: usize) -> f32 {
        (0..self.mixed.ncols())
            .map(|entry| {
                self.mixed[(query, entry)] * self.d_mixed[(query, entry)]
            })
            .sum()
    }
}
