//! Documents of different lengths, one after the other: only real tokens are computed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{Table, Token};

/// A document that goes through the backbone. It ends where it is read last: nothing sees what
/// would follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tokens: Vec<Token>,
    /// So many of its last tokens' hidden states are wanted.
    pub(crate) n_read: usize,
}

impl Reading {
    /// Only the last token is read.
    pub(crate) fn last(tokens: Vec<Token>) -> Self {
        let n_read = tokens.len().min(1);
        Self { tokens, n_read }
    }

    /// Every token is read.
    pub(crate) fn whole(tokens: Vec<Token>) -> Self {
        let n_read = tokens.len();
        Self { tokens, n_read }
    }

    fn is_read(&self, position: usize) -> bool {
        position + self.n_read >= self.tokens.len()
    }
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
    pub(crate) read: Option<Read>,
}

/// The tokens that are read.
#[derive(Debug)]
pub(crate) struct Read {
    /// Each document when only these are queries.
    pub(crate) spans: Spans,
    /// Packed row of each `[read]`.
    rows: Tensor<1, Int>,
    /// Read row of each packed row, one past the end where it is not read `[tokens]`.
    places: Tensor<1, Int>,
}

impl Read {
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

impl Layout {
    fn new(documents: &[Reading], device: &Device) -> Self {
        let positions = documents
            .iter()
            .flat_map(|document| (0..document.tokens.len()).map(to_index))
            .collect();
        let (mut spans, mut read_spans) = (
            Vec::with_capacity(documents.len()),
            Vec::with_capacity(documents.len()),
        );
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        let n_read: usize = documents.iter().map(|document| document.n_read).sum();
        for document in documents {
            let start = places.len();
            let keys = start..start + document.tokens.len();
            spans.push(Span {
                keys: keys.clone(),
                queries: keys.clone(),
            });
            let queries = rows.len()..rows.len() + document.n_read;
            for position in 0..document.tokens.len() {
                let is_read = document.is_read(position);
                places.push(to_index(if is_read { rows.len() } else { n_read }));
                if is_read {
                    rows.push(to_index(start + position));
                }
            }
            read_spans.push(Span { keys, queries });
        }
        let read = (n_read < places.len()).then(|| Read {
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

/// The distinct tokens of a batch, and each packed token as a row of the matrix `[words; users;
/// items]`.
#[derive(Debug)]
pub(crate) struct TokenBatch {
    /// Distinct words.
    pub(crate) words: Vec<u32>,
    /// Distinct user rows.
    pub(crate) users: Vec<u32>,
    /// Distinct item rows.
    pub(crate) items: Vec<u32>,
    /// Row of each packed token `[tokens]`.
    pub(crate) index: Tensor<1, Int>,
    /// Where the tokens lie.
    pub(crate) layout: Layout,
    /// The packed rows that hold a user or an item, and which: what gets a gradient.
    pub(crate) soft: Vec<(usize, Token)>,
    /// Real tokens.
    pub(crate) n_tokens: usize,
}

impl TokenBatch {
    /// Packs documents; each must fit into `n_positions`, which the prompt functions see to.
    pub(crate) fn new(documents: &[Reading], n_positions: usize, device: &Device) -> Self {
        debug_assert!(
            documents
                .iter()
                .all(|document| document.tokens.len() <= n_positions),
            "a document exceeds {n_positions} positions"
        );
        let tokens: Vec<Token> = documents
            .iter()
            .flat_map(|document| &document.tokens)
            .copied()
            .collect();
        let (words, users) = (
            distinct(&tokens, Token::word),
            distinct(&tokens, Token::user),
        );
        let items = distinct(&tokens, Token::item);
        let place = |rows: &[u32], offset: usize| -> HashMap<u32, i32> {
            rows.iter()
                .enumerate()
                .map(|(place, &row)| (row, to_index(offset + place)))
                .collect()
        };
        let (word_at, user_at) = (place(&words, 0), place(&users, words.len()));
        let item_at = place(&items, words.len() + users.len());
        let index: Vec<i32> = tokens
            .iter()
            .map(|token| match token {
                Token::Word(row) => word_at[row],
                Token::User(row) => user_at[row],
                Token::Item(row) => item_at[row],
            })
            .collect();
        let layout = Layout::new(documents, device);
        let soft = tokens
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, token)| token.word().is_none())
            .collect();
        Self {
            words,
            users,
            items,
            index: index_tensor(index, device),
            layout,
            soft,
            n_tokens: tokens.len(),
        }
    }

    /// Row numbers of the distinct words `[words]`.
    pub(crate) fn word_rows(&self, device: &Device) -> Tensor<1, Int> {
        index_tensor(
            self.words
                .iter()
                .map(|&row| to_index(row as usize))
                .collect(),
            device,
        )
    }
}

/// The distinct rows of one kind of token, ascending.
pub(crate) fn distinct(tokens: &[Token], pick: fn(Token) -> Option<u32>) -> Vec<u32> {
    let mut rows: Vec<u32> = tokens.iter().filter_map(|&token| pick(token)).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The rows of a table as a tensor `[rows, width]`.
pub(crate) fn rows_tensor(table: &Table, rows: &[u32], device: &Device) -> Tensor<2> {
    let mut values = Vec::with_capacity(rows.len() * table.width());
    for &row in rows {
        values.extend_from_slice(&table.row(row));
    }
    matrix(values, table.width(), device)
}

/// A row-major matrix as a tensor `[len / width, width]`.
pub(crate) fn matrix(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let n_rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [n_rows, width]), device)
}

/// Indices as a tensor `[indices]`.
pub(crate) fn index_tensor(indices: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let n = indices.len();
    Tensor::from_data(TensorData::new(indices, [n]), device)
}

/// A float tensor's values in row-major order.
pub(crate) fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .cast(DType::F32)
        .into_data()
        .try_into_vec()
        .expect("the tensor was cast to f32")
}

/// An index in the integer type that every device takes.
pub(crate) fn to_index(index: usize) -> i32 {
    i32::try_from(index).expect("a batch has fewer than 2³¹ tokens")
}
