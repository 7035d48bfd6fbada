//! Where the documents of a batch lie: one after the other, so that only real tokens are computed.

use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::{Device, Int, Tensor};

use crate::backbone::host::{index_tensor, to_index};

/// How long a document is and how much of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Tokens that go through the backbone.
    pub(crate) n_tokens: usize,
    /// The last so many of them are read: their hidden states are wanted.
    pub(crate) n_read: usize,
}

/// One document in an attention: its keys and its queries, each a run of rows. The queries are its
/// last tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// Packed rows of the document's tokens.
    pub(crate) keys: Range<usize>,
    /// Rows of its queries.
    pub(crate) queries: Range<usize>,
}

impl Span {
    /// Position of the first query; a query sees the positions up to its own.
    pub(crate) fn offset(&self) -> usize {
        self.keys.len() - self.queries.len()
    }
}

/// The documents of an attention.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) documents: Vec<Span>,
    /// Made when a kernel asks for it, once for all blocks.
    padded: OnceLock<Padded>,
}

/// The documents side by side, all as long as the longest: for kernels that take one length.
/// Queries lie where the keys of the same tokens do, so that a query sees the keys up to its own
/// place in every document.
#[derive(Debug)]
pub(crate) struct Padded {
    pub(crate) n_documents: usize,
    pub(crate) longest: usize,
    /// Place of each query among `n_documents * longest` `[queries]`.
    pub(crate) queries: Tensor<1, Int>,
    /// Place of each key `[keys]`.
    pub(crate) keys: Tensor<1, Int>,
}

impl Spans {
    pub(crate) fn new(documents: Vec<Span>) -> Self {
        Self {
            documents,
            padded: OnceLock::new(),
        }
    }

    pub(crate) fn padded(&self, device: &Device) -> &Padded {
        self.padded
            .get_or_init(|| Padded::new(&self.documents, &device.clone().inner()))
    }
}

impl Padded {
    fn new(documents: &[Span], device: &Device) -> Self {
        let longest = documents
            .iter()
            .map(|span| span.keys.len())
            .max()
            .unwrap_or(0);
        let places = |first: fn(&Span) -> usize| {
            let of_document = |(document, span): (usize, &Span)| {
                (first(span)..span.keys.len())
                    .map(move |position| to_index(document * longest + position))
            };
            index_tensor(
                documents.iter().enumerate().flat_map(of_document).collect(),
                device,
            )
        };
        Self {
            n_documents: documents.len(),
            longest,
            queries: places(Span::offset),
            keys: places(|_| 0),
        }
    }
}

/// Where the tokens of a batch lie, and which are read.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Position of each packed token within its document `[tokens]`.
    pub(crate) positions: Tensor<1, Int>,
    /// Each document when all its tokens are queries.
    pub(crate) spans: Spans,
    /// What the last block computes; absent when every token is read.
    pub(crate) read: Option<ReadPositions>,
}

/// The tokens that are read.
#[derive(Debug)]
pub(crate) struct ReadPositions {
    /// Each document when only these are queries.
    pub(crate) spans: Spans,
    /// Packed row of each `[read]`.
    rows: Tensor<1, Int>,
    /// Read row of each packed row, one past the end where it is not read `[tokens]`.
    places: Tensor<1, Int>,
}

impl ReadPositions {
    /// Shapes: `[tokens, width]` → `[read, width]`.
    pub(crate) fn gather(&self, packed: Tensor<2>) -> Tensor<2> {
        packed.select(0, self.rows.clone())
    }

    /// Zero where a token is not read. Shapes: `[read, width]` → `[tokens, width]`.
    pub(crate) fn scatter(&self, read: Tensor<2>) -> Tensor<2> {
        let [_, width] = read.dims();
        let zero = Tensor::zeros([1, width], (&read.device(), read.dtype()));
        Tensor::cat(vec![read, zero], 0).select(0, self.places.clone())
    }
}

/// The positions whose output a block computes: its queries.
pub(crate) struct Queries<'a> {
    pub(crate) spans: &'a Spans,
    /// Absent where every token is a query.
    read: Option<&'a ReadPositions>,
}

impl Queries<'_> {
    /// Shapes: `[tokens, width]` → `[queries, width]`.
    pub(crate) fn gather(&self, packed: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.gather(packed),
            None => packed,
        }
    }

    /// What is known of each token, for the queries alone. Shapes: `[tokens]` → `[queries]`.
    pub(crate) fn gather_indices(&self, packed: Tensor<1, Int>) -> Tensor<1, Int> {
        match self.read {
            Some(read) => packed.select(0, read.rows.clone()),
            None => packed,
        }
    }

    /// Zero where a token is no query. Shapes: `[queries, width]` → `[tokens, width]`.
    pub(crate) fn scatter(&self, queries: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.scatter(queries),
            None => queries,
        }
    }
}

impl Layout {
    /// The queries of a block. The last one computes no queries and no MLP where nobody reads.
    pub(crate) fn queries(&self, is_last_block: bool) -> Queries<'_> {
        match &self.read {
            Some(read) if is_last_block => Queries {
                spans: &read.spans,
                read: Some(read),
            },
            _ => Queries {
                spans: &self.spans,
                read: None,
            },
        }
    }

    /// Lays documents out one after the other.
    pub(crate) fn new(documents: &[Extent], device: &Device) -> Self {
        let positions = documents
            .iter()
            .flat_map(|document| (0..document.n_tokens).map(to_index))
            .collect();
        let (mut spans, mut read_spans) = (
            Vec::with_capacity(documents.len()),
            Vec::with_capacity(documents.len()),
        );
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        let n_read: usize = documents.iter().map(|document| document.n_read).sum();
        for document in documents {
            let start = places.len();
            let keys = start..start + document.n_tokens;
            spans.push(Span {
                keys: keys.clone(),
                queries: keys.clone(),
            });
            let queries = rows.len()..rows.len() + document.n_read;
            for position in 0..document.n_tokens {
                let is_read = position + document.n_read >= document.n_tokens;
                places.push(to_index(if is_read { rows.len() } else { n_read }));
                if is_read {
                    rows.push(to_index(start + position));
                }
            }
            read_spans.push(Span { keys, queries });
        }
        let read = (n_read < places.len()).then(|| ReadPositions {
            spans: Spans::new(read_spans),
            rows: index_tensor(rows, device),
            places: index_tensor(places, device),
        });
        Self {
            positions: index_tensor(positions, device),
            spans: Spans::new(spans),
            read,
        }
    }
}

/// The wanted rows, or all where nobody says which.
pub(crate) fn only(rows: Tensor<2>, wanted: Option<&Tensor<1, Int>>) -> Tensor<2> {
    match wanted {
        Some(wanted) => rows.select(0, wanted.clone()),
        None => rows,
    }
}
