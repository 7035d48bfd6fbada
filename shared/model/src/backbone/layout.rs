//! Where the documents of a batch lie: one after the other, so that only real
//! tokens are computed.

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

/// One document in an attention: its keys and its queries, each a run of rows.
/// The queries are its last tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// Packed rows of the document's tokens.
    pub(crate) keys: Range<usize>,
    /// Rows of its queries among the queries of all documents.
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
    /// The padded layout, made once for all blocks when a kernel first asks for
    /// it.
    padded: OnceLock<Padded>,
}

/// The documents side by side, all as long as the longest: for kernels that
/// take one length. Queries lie where the keys of the same tokens do, so that a
/// query sees the keys up to its own place in every document.
#[derive(Debug)]
pub(crate) struct Padded {
    pub(crate) n_documents: usize,
    pub(crate) longest: usize,
    /// The place of each query among the `n_documents * longest` padded rows
    /// `[queries]`.
    pub(crate) queries: Tensor<1, Int>,
    /// The place of each key among the same rows `[keys]`.
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
        self.padded.get_or_init(|| {
            Padded::new(&self.documents, &device.clone().inner())
        })
    }
}

impl Padded {
    fn new(documents: &[Span], device: &Device) -> Self {
        let lengths = documents.iter().map(|span| span.keys.len());
        let longest = lengths.max().unwrap_or(0);
        let mut queries = Vec::new();
        let mut keys = Vec::new();
        for (document, span) in documents.iter().enumerate() {
            let start = document * longest;
            let end = start + span.keys.len();
            queries.extend((start + span.offset()..end).map(to_index));
            keys.extend((start..end).map(to_index));
        }
        Self {
            n_documents: documents.len(),
            longest,
            queries: index_tensor(queries, device),
            keys: index_tensor(keys, device),
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
    /// The tokens that the last block computes; absent when every token is
    /// read.
    pub(crate) read: Option<ReadPositions>,
}

/// The tokens that are read.
#[derive(Debug)]
pub(crate) struct ReadPositions {
    /// Each document when only these are queries.
    pub(crate) spans: Spans,
    /// The packed row of each token that is read `[read]`.
    rows: Tensor<1, Int>,
    /// The read row of each packed row, one past the end where it is not read
    /// `[tokens]`.
    places: Tensor<1, Int>,
}

impl ReadPositions {
    /// The last tokens of each document; `None` where they are all tokens.
    fn new(documents: &[Extent], device: &Device) -> Option<Self> {
        let mut n_tokens = 0;
        let mut n_read = 0;
        for document in documents {
            n_tokens += document.n_tokens;
            n_read += document.n_read;
        }
        if n_read == n_tokens {
            return None;
        }

        let not_read = to_index(n_read);
        let mut spans = Vec::with_capacity(documents.len());
        let mut rows = Vec::with_capacity(n_read);
        let mut places = Vec::with_capacity(n_tokens);
        for document in documents {
            let start = places.len();
            let end = start + document.n_tokens;
            let first_read = end - document.n_read;
            spans.push(Span {
                keys: start..end,
                queries: rows.len()..rows.len() + document.n_read,
            });
            places.extend((start..first_read).map(|_| not_read));

            for row in first_read..end {
                places.push(to_index(rows.len()));
                rows.push(to_index(row));
            }
        }
        Some(Self {
            spans: Spans::new(spans),
            rows: index_tensor(rows, device),
            places: index_tensor(places, device),
        })
    }

    /// The rows of the tokens that are read. Shapes: `[tokens, width]` →
    /// `[read, width]`.
    pub(crate) fn gather(&self, packed: Tensor<2>) -> Tensor<2> {
        packed.select(0, self.rows.clone())
    }

    /// The rows among all tokens, zero where one is not read. Shapes:
    /// `[read, width]` → `[tokens, width]`.
    pub(crate) fn scatter(&self, read: Tensor<2>) -> Tensor<2> {
        let [_, width] = read.dims();
        let zero = Tensor::zeros([1, width], (&read.device(), read.dtype()));
        Tensor::cat(vec![read, zero], 0).select(0, self.places.clone())
    }
}

/// The positions whose output a block computes: its queries.
pub(crate) struct Queries<'a> {
    pub(crate) spans: &'a Spans,
    /// The tokens that are queries; absent where every token is one.
    read: Option<&'a ReadPositions>,
}

impl Queries<'_> {
    /// The rows of the queries. Shapes: `[tokens, width]` → `[queries, width]`.
    pub(crate) fn gather(&self, packed: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.gather(packed),
            None => packed,
        }
    }

    /// The rows among all tokens, zero where one is no query. Shapes:
    /// `[queries, width]` → `[tokens, width]`.
    pub(crate) fn scatter(&self, queries: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.scatter(queries),
            None => queries,
        }
    }
}

impl Layout {
    /// The queries of a block. The last one computes no queries and no MLP
    /// where nobody reads.
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
        let mut positions = Vec::new();
        let mut spans = Vec::with_capacity(documents.len());
        for document in documents {
            let start = positions.len();
            positions.extend((0..document.n_tokens).map(to_index));
            let rows = start..positions.len();
            spans.push(Span {
                keys: rows.clone(),
                queries: rows,
            });
        }
        Self {
            positions: index_tensor(positions, device),
            spans: Spans::new(spans),
            read: ReadPositions::new(documents, device),
        }
    }
}
