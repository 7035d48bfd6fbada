//! Documents of different lengths as one packed batch: only real tokens are computed.

use std::collections::HashMap;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Table, Token};

/// Where the packed tokens of a batch lie.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Position of each packed token within its document `[tokens]`.
    pub(crate) positions: Tensor<1, Int>,
    /// `[batch, longest]` of the padded form.
    pub(crate) padded_shape: [usize; 2],
    /// `None` when all documents have the same length: packed and padded form are the same then.
    maps: Option<Maps>,
}

#[derive(Debug)]
struct Maps {
    /// Packed row of each padded row `[batch * longest]`; padding reads row 0, and nothing reads the padding.
    to_padded: Tensor<1, Int>,
    /// Padded row of each packed row `[tokens]`.
    to_packed: Tensor<1, Int>,
}

impl Layout {
    fn new(lengths: &[usize], device: &Device) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let positions: Vec<i32> = lengths.iter().flat_map(|&length| (0..length).map(to_index)).collect();
        let maps = lengths.iter().any(|&length| length != longest).then(|| {
            let mut to_padded = Vec::with_capacity(lengths.len() * longest);
            let mut to_packed = Vec::with_capacity(positions.len());
            let mut start = 0;
            for (row, &length) in lengths.iter().enumerate() {
                to_padded.extend((0..longest).map(|t| if t < length { to_index(start + t) } else { 0 }));
                to_packed.extend((0..length).map(|t| to_index(row * longest + t)));
                start += length;
            }
            Maps { to_padded: index_tensor(to_padded, device), to_packed: index_tensor(to_packed, device) }
        });
        Self { positions: index_tensor(positions, device), padded_shape: [lengths.len(), longest], maps }
    }

    /// Shapes: `[tokens, width]` → `[batch * longest, width]`.
    pub(crate) fn pad(&self, packed: Tensor<2>) -> Tensor<2> {
        match &self.maps {
            Some(maps) => packed.select(0, maps.to_padded.clone()),
            None => packed,
        }
    }

    /// Shapes: `[batch * longest, width]` → `[tokens, width]`.
    pub(crate) fn unpad(&self, padded: Tensor<2>) -> Tensor<2> {
        match &self.maps {
            Some(maps) => padded.select(0, maps.to_packed.clone()),
            None => padded,
        }
    }
}

/// The distinct tokens of a batch, and each packed token as a row of the matrix `[words; users; items]`.
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
    /// Real tokens.
    pub(crate) n_tokens: usize,
}

impl TokenBatch {
    /// Packs documents; each must fit into `n_positions`, which the prompt functions see to.
    pub(crate) fn new(documents: &[Vec<Token>], n_positions: usize, device: &Device) -> Self {
        let lengths: Vec<usize> = documents.iter().map(Vec::len).collect();
        debug_assert!(
            lengths.iter().all(|&length| length <= n_positions),
            "a document exceeds {n_positions} positions"
        );
        let tokens: Vec<Token> = documents.iter().flatten().copied().collect();
        let distinct = |pick: fn(Token) -> Option<u32>| {
            let mut rows: Vec<u32> = tokens.iter().filter_map(|&token| pick(token)).collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        };
        let (words, users, items) = (distinct(Token::word), distinct(Token::user), distinct(Token::item));
        let place = |rows: &[u32], offset: usize| -> HashMap<u32, i32> {
            rows.iter().enumerate().map(|(place, &row)| (row, to_index(offset + place))).collect()
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
        let layout = Layout::new(&lengths, device);
        Self { words, users, items, index: index_tensor(index, device), layout, n_tokens: tokens.len() }
    }

    /// Row numbers of the distinct words `[words]`.
    pub(crate) fn word_rows(&self, device: &Device) -> Tensor<1, Int> {
        index_tensor(self.words.iter().map(|&row| to_index(row as usize)).collect(), device)
    }
}

/// The rows of a table as a tensor `[rows, width]`.
pub(crate) fn rows_tensor(table: &Table, rows: &[u32], device: &Device) -> Tensor<2> {
    let mut values = Vec::with_capacity(rows.len() * table.width());
    for &row in rows {
        values.extend_from_slice(table.row(row));
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

/// A tensor's values in row-major order.
pub(crate) fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("all float tensors are f32 here")
}

/// An index in the integer type that every device takes.
pub(crate) fn to_index(index: usize) -> i32 {
    i32::try_from(index).expect("a batch has fewer than 2³¹ tokens")
}
