//! Causal attention inside documents on slices, one head after the other on each thread. A block of
//! queries at a time sees only the keys up to its last one, so no more scores exist than [`BLOCK`]
//! rows of the longest document.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::rows;
use crate::backbone::layout::Span;

/// Queries whose scores are computed together.
const BLOCK: usize = 64;

/// Queries, keys and values of all heads.
pub(super) struct Heads<'a> {
    /// `[queries, embed]`
    queries: MatRef<'a, f32>,
    /// `[keys, embed]`
    keys: MatRef<'a, f32>,
    values: MatRef<'a, f32>,
    spans: &'a [Span],
    n_head: usize,
    head_dim: usize,
    scale: f32,
}

/// Of the forward pass.
pub(super) struct Kept<'a> {
    /// `[queries, embed]`
    pub(super) mixed: &'a [f32],
    /// `[queries, heads]`
    pub(super) log_sums: &'a [f32],
}

/// Some queries of a document, all keys that the last of them sees.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
    /// Keys that the first query sees; each next one sees one more.
    first_sees: usize,
}

fn blocks(span: &Span) -> impl Iterator<Item = Block> + '_ {
    (0..span.queries.len()).step_by(BLOCK).map(|start| {
        let end = (start + BLOCK).min(span.queries.len());
        Block {
            queries: span.queries.start + start..span.queries.start + end,
            keys: span.keys.start..span.keys.start + span.offset() + end,
            first_sees: span.offset() + start + 1,
        }
    })
}

fn rows_of<'a>(matrix: MatRef<'a, f32>, rows: &Range<usize>) -> MatRef<'a, f32> {
    matrix.subrows(rows.start, rows.len())
}

/// Memory of one thread.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    d_scores: Vec<f32>,
}

impl<'a> Heads<'a> {
    /// Shapes: `queries [queries, embed]`, `keys_values [keys, 2 embed]`, row-major.
    pub(super) fn new(
        queries: &'a [f32],
        keys_values: &'a [f32],
        spans: &'a [Span],
        [n_head, embed]: [usize; 2],
    ) -> Self {
        let both =
            MatRef::from_row_major_slice(keys_values, keys_values.len() / (2 * embed), 2 * embed);
        let (keys, values) = both.split_at_col(embed);
        let head_dim = embed / n_head;
        Self {
            queries: MatRef::from_row_major_slice(queries, queries.len() / embed, embed),
            keys,
            values,
            spans,
            n_head,
            head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
        }
    }

    fn head(&self, matrix: MatRef<'a, f32>, head: usize) -> MatRef<'a, f32> {
        matrix.subcols(head * self.head_dim, self.head_dim)
    }

    /// Mixed values `[queries, embed]` and logarithms of the softmax's denominators `[queries,
    /// heads]`.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let (n_queries, embed) = (self.queries.nrows(), self.n_head * self.head_dim);
        let (mut mixed, mut log_sums) = (
            vec![0.0; n_queries * embed],
            vec![0.0; n_queries * self.n_head],
        );
        let of_heads = MatMut::from_row_major_slice_mut(&mut mixed, n_queries, embed)
            .par_col_chunks_mut(self.head_dim);
        let sums_of_heads = MatMut::from_row_major_slice_mut(&mut log_sums, n_queries, self.n_head)
            .par_col_chunks_mut(1);
        of_heads.zip(sums_of_heads).enumerate().for_each_init(
            Scratch::default,
            |scratch, (head, (mixed, log_sums))| {
                self.forward_head(head, scratch, mixed, log_sums);
            },
        );
        (mixed, log_sums)
    }

    fn forward_head(
        &self,
        head: usize,
        scratch: &mut Scratch,
        mut mixed: MatMut<'_, f32>,
        mut log_sums: MatMut<'_, f32>,
    ) {
        let queries = self.head(self.queries, head);
        let (keys, values) = (self.head(self.keys, head), self.head(self.values, head));
        for block in self.spans.iter().flat_map(blocks) {
            let (n_queries, n_keys) = (block.queries.len(), block.keys.len());
            scratch.scores.resize(n_queries * n_keys, 0.0);
            let scores = &mut scratch.scores[..n_queries * n_keys];
            let product = MatMut::from_row_major_slice_mut(scores, n_queries, n_keys);
            let (q, k) = (rows_of(queries, &block.queries), rows_of(keys, &block.keys));
            matmul(
                product,
                Accum::Replace,
                q,
                k.transpose(),
                self.scale,
                Par::Seq,
            );
            for (row, scores) in scores.chunks_exact_mut(n_keys).enumerate() {
                let (seen, unseen) = scores.split_at_mut(block.first_sees + row);
                log_sums[(block.queries.start + row, 0)] =
                    Arch::new().dispatch(|| rows::softmax(seen));
                unseen.fill(0.0);
            }
            let shares = MatRef::from_row_major_slice(scores, n_queries, n_keys);
            let mixed = mixed.rb_mut().subrows_mut(block.queries.start, n_queries);
            matmul(
                mixed,
                Accum::Replace,
                shares,
                rows_of(values, &block.keys),
                1.0,
                Par::Seq,
            );
        }
    }

    /// Gradients of queries `[queries, embed]` and of keys and values `[keys, 2 embed]`.
    pub(super) fn backward(&self, kept: &Kept<'_>, d_mixed: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (n_queries, n_keys, embed) = (
            self.queries.nrows(),
            self.keys.nrows(),
            self.n_head * self.head_dim,
        );
        let (mut d_queries, mut d_both) =
            (vec![0.0; n_queries * embed], vec![0.0; n_keys * 2 * embed]);
        let mixed = MatRef::from_row_major_slice(kept.mixed, n_queries, embed);
        let log_sums = MatRef::from_row_major_slice(kept.log_sums, n_queries, self.n_head);
        let d_mixed = MatRef::from_row_major_slice(d_mixed, n_queries, embed);
        let of_queries = MatMut::from_row_major_slice_mut(&mut d_queries, n_queries, embed);
        let (of_keys, of_values) = MatMut::from_row_major_slice_mut(&mut d_both, n_keys, 2 * embed)
            .split_at_col_mut(embed);
        let of_queries = of_queries.par_col_chunks_mut(self.head_dim);
        let of_keys = of_keys.par_col_chunks_mut(self.head_dim);
        let of_values = of_values.par_col_chunks_mut(self.head_dim);
        of_queries
            .zip(of_keys)
            .zip(of_values)
            .enumerate()
            .for_each_init(
                Scratch::default,
                |scratch, (head, ((queries, keys), values))| {
                    let known = Known {
                        mixed: self.head(mixed, head),
                        log_sums: log_sums.col(head),
                        d_mixed: self.head(d_mixed, head),
                    };
                    self.backward_head(
                        head,
                        scratch,
                        &known,
                        Gradients {
                            queries,
                            keys,
                            values,
                        },
                    );
                },
            );
        (d_queries, d_both)
    }

    fn backward_head(
        &self,
        head: usize,
        scratch: &mut Scratch,
        known: &Known<'_>,
        mut gradients: Gradients<'_>,
    ) {
        let queries = self.head(self.queries, head);
        let (keys, values) = (self.head(self.keys, head), self.head(self.values, head));
        for block in self.spans.iter().flat_map(blocks) {
            let (n_queries, n_keys) = (block.queries.len(), block.keys.len());
            let size = n_queries * n_keys;
            scratch.scores.resize(size, 0.0);
            scratch.d_scores.resize(size, 0.0);
            let (scores, d_scores) = (&mut scratch.scores[..size], &mut scratch.d_scores[..size]);
            let (q, k) = (rows_of(queries, &block.queries), rows_of(keys, &block.keys));
            let (v, d) = (
                rows_of(values, &block.keys),
                rows_of(known.d_mixed, &block.queries),
            );
            let product = MatMut::from_row_major_slice_mut(scores, n_queries, n_keys);
            matmul(
                product,
                Accum::Replace,
                q,
                k.transpose(),
                self.scale,
                Par::Seq,
            );
            let product = MatMut::from_row_major_slice_mut(d_scores, n_queries, n_keys);
            matmul(product, Accum::Replace, d, v.transpose(), 1.0, Par::Seq);
            self.shares_and_gradients(known, &block, scores, d_scores);
            let shares = MatRef::from_row_major_slice(scores, n_queries, n_keys);
            let d_scores = MatRef::from_row_major_slice(d_scores, n_queries, n_keys);
            let (of_keys, of_values) = (
                gradients
                    .keys
                    .rb_mut()
                    .subrows_mut(block.keys.start, n_keys),
                gradients
                    .values
                    .rb_mut()
                    .subrows_mut(block.keys.start, n_keys),
            );
            matmul(of_values, Accum::Add, shares.transpose(), d, 1.0, Par::Seq);
            matmul(
                of_keys,
                Accum::Add,
                d_scores.transpose(),
                q,
                self.scale,
                Par::Seq,
            );
            let of_queries = gradients
                .queries
                .rb_mut()
                .subrows_mut(block.queries.start, n_queries);
            matmul(
                of_queries,
                Accum::Replace,
                d_scores,
                k,
                self.scale,
                Par::Seq,
            );
        }
    }

    /// Scores → shares, gradients of shares → gradients of scores; both `[queries, keys]` of a
    /// block.
    fn shares_and_gradients(
        &self,
        known: &Known<'_>,
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
            let log_sum = known.log_sums[query];
            let along = known.along(query);
            let n_seen = block.first_sees + row;
            Arch::new().dispatch(|| {
                for (score, gradient) in scores[..n_seen].iter_mut().zip(&mut d_scores[..n_seen]) {
                    *score = rows::exp(*score - log_sum);
                    *gradient = *score * (*gradient - along);
                }
            });
            scores[n_seen..].fill(0.0);
            d_scores[n_seen..].fill(0.0);
        }
    }
}

/// What a head's gradient starts from.
struct Known<'a> {
    mixed: MatRef<'a, f32>,
    log_sums: faer::ColRef<'a, f32>,
    d_mixed: MatRef<'a, f32>,
}

impl Known<'_> {
    /// `Σ mixed · d_mixed` of a query: what the softmax's gradient takes away.
    fn along(&self, query: usize) -> f32 {
        (0..self.mixed.ncols())
            .map(|entry| self.mixed[(query, entry)] * self.d_mixed[(query, entry)])
            .sum()
    }
}

/// Where a head's gradients go.
struct Gradients<'a> {
    queries: MatMut<'a, f32>,
    keys: MatMut<'a, f32>,
    values: MatMut<'a, f32>,
}
