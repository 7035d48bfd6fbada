//! Causal attention inside documents on slices, one head of a document after the
//! other on each thread. A block of queries at a time sees only the keys up to
//! its last one, so no more scores exist than [`BLOCK`] rows of the longest
//! document.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::memory;
use super::operands::{Attention, HeadCounts};
use super::rows;
use crate::backbone::layout::Span;

/// Queries whose scores are computed together.
const BLOCK: usize = 64;

/// Queries, keys and values of all heads, side by side.
pub(super) struct Heads<'a> {
    /// The queries `[queries, n_query * head_dim]`.
    pub(super) queries: MatRef<'a, f32>,
    /// The keys `[keys, n_key_value * head_dim]`.
    pub(super) keys: MatRef<'a, f32>,
    /// The values `[keys, n_key_value * head_dim]`.
    values: MatRef<'a, f32>,
    pub(super) spans: &'a [Span],
    pub(super) counts: HeadCounts,
    pub(super) head_dim: usize,
}

/// What the forward pass gives, row-major.
pub(super) struct Outputs<T> {
    /// Mixed values `[queries, n_query * head_dim]`.
    pub(super) mixed: T,
    /// Logarithm of each softmax's denominator `[queries, n_query]`.
    pub(super) log_sums: T,
}

/// Some queries of a document, and all keys that the last of them sees; both as
/// rows of the document.
pub(super) struct Block {
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
    /// How many keys the first query sees; each next one sees one more.
    pub(super) first_sees: usize,
}

pub(super) fn matrix(values: &[f32], n_columns: usize) -> MatRef<'_, f32> {
    let n_rows = values.len() / n_columns;
    MatRef::from_row_major_slice(values, n_rows, n_columns)
}

pub(super) fn matrix_mut(
    values: &mut [f32],
    n_columns: usize,
) -> MatMut<'_, f32> {
    let n_rows = values.len() / n_columns;
    MatMut::from_row_major_slice_mut(values, n_rows, n_columns)
}

pub(super) fn rows_to<'a>(
    matrix: &'a mut MatMut<'_, f32>,
    rows: &Range<usize>,
) -> MatMut<'a, f32> {
    matrix.rb_mut().subrows_mut(rows.start, rows.len())
}

pub(super) fn rows_of<'a>(
    matrix: MatRef<'a, f32>,
    rows: &Range<usize>,
) -> MatRef<'a, f32> {
    matrix.subrows(rows.start, rows.len())
}

/// A matrix cut into the rows of each document and the columns of each head, in
/// that order.
pub(super) fn by_document_and_head<'a>(
    matrix: MatMut<'a, f32>,
    n_rows: impl Iterator<Item = usize>,
    head_width: usize,
) -> Vec<MatMut<'a, f32>> {
    let n_heads = matrix.ncols() / head_width;
    let mut parts = Vec::new();
    let mut below = matrix;
    for n_rows in n_rows {
        let (document, rest) = below.split_at_row_mut(n_rows);
        below = rest;
        let mut beside = document;
        for _ in 0..n_heads {
            let (head, rest) = beside.split_at_col_mut(head_width);
            beside = rest;
            parts.push(head);
        }
    }
    parts
}

/// The memory that a thread uses again for each block of queries.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) scores: Vec<f32>,
    pub(super) d_scores: Vec<f32>,
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
        }
    }

    /// A query head of a document, with the keys and values that it reads.
    pub(super) fn of_document(
        &self,
        span: &'a Span,
        query_head: usize,
    ) -> DocumentHead<'a> {
        let read = query_head / self.counts.n_in_group() * self.head_dim;
        let own = query_head * self.head_dim;
        let queries = rows_of(self.queries, &span.queries);
        let keys = rows_of(self.keys, &span.keys);
        let values = rows_of(self.values, &span.keys);
        DocumentHead {
            span,
            queries: queries.subcols(own, self.head_dim),
            keys: keys.subcols(read, self.head_dim),
            values: values.subcols(read, self.head_dim),
            scale: 1.0 / (self.head_dim as f32).sqrt(),
        }
    }

    /// How many queries each document has.
    pub(super) fn n_queries(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.spans.iter().map(|span| span.queries.len())
    }

    /// How many keys each document has.
    pub(super) fn n_keys(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.spans.iter().map(|span| span.keys.len())
    }

    /// Mixes the values, one query head of a document after the other on each
    /// thread.
    pub(super) fn forward(&self) -> Outputs<Vec<f32>> {
        let n_queries = self.queries.nrows();
        let n_heads = self.counts.n_query;
        let width = n_heads * self.head_dim;
        let mut mixed = memory::buffer(n_queries * width);
        let mut log_sums = memory::buffer(n_queries * n_heads);

        let of_heads = by_document_and_head(
            matrix_mut(&mut mixed, width),
            self.n_queries(),
            self.head_dim,
        );
        let sums_of_heads = by_document_and_head(
            matrix_mut(&mut log_sums, n_heads),
            self.n_queries(),
            1,
        );
        let tasks = of_heads.into_par_iter().zip(sums_of_heads).enumerate();
        tasks.for_each_init(
            Scratch::default,
            |scratch, (place, (mixed, log_sums))| {
                let span = &self.spans[place / n_heads];
                let head = self.of_document(span, place % n_heads);
                head.forward(scratch, Outputs { mixed, log_sums });
            },
        );

        Outputs { mixed, log_sums }
    }
}

/// A query head of a document, and the keys and values that it reads.
pub(super) struct DocumentHead<'a> {
    span: &'a Span,
    /// `[queries, head_dim]`
    pub(super) queries: MatRef<'a, f32>,
    /// `[keys, head_dim]`
    pub(super) keys: MatRef<'a, f32>,
    /// `[keys, head_dim]`
    pub(super) values: MatRef<'a, f32>,
    /// What scores are multiplied with.
    pub(super) scale: f32,
}

impl DocumentHead<'_> {
    fn forward(&self, scratch: &mut Scratch, to: Outputs<MatMut<'_, f32>>) {
        let Outputs {
            mut mixed,
            mut log_sums,
        } = to;
        for block in self.blocks() {
            let n_queries = block.queries.len();
            let n_keys = block.keys.len();

            let q = rows_of(self.queries, &block.queries);
            let k = rows_of(self.keys, &block.keys).transpose();
            let v = rows_of(self.values, &block.keys);
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

    /// The queries of the document, some at a time.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let n_queries = self.span.queries.len();
        let offset = self.span.offset();
        let starts = (0..n_queries).step_by(BLOCK);
        starts.map(move |start| {
            let end = (start + BLOCK).min(n_queries);
            Block {
                queries: start..end,
                keys: 0..offset + end,
                first_sees: offset + start + 1,
            }
        })
    }
}
