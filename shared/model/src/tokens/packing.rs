//! Documents of different lengths, one after the other: only real tokens are computed.

use std::collections::HashMap;

use burn::tensor::{Device, Int, Tensor};

use crate::backbone::host::{index_tensor, matrix, to_index};
use crate::backbone::layout::{Extent, Layout};
use crate::tokens::prompt::Token;
use crate::tokens::tables::Table;

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

    fn extent(&self) -> Extent {
        Extent {
            n_tokens: self.tokens.len(),
            n_read: self.n_read,
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
        let extents: Vec<Extent> = documents.iter().map(Reading::extent).collect();
        let layout = Layout::new(&extents, device);
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

/// Consecutive documents, at most `at_once` tokens together unless one alone has more; parts of
/// about the same size, because products of few rows are slow.
pub(crate) fn parts(documents: &[Reading], at_once: usize) -> Vec<&[Reading]> {
    let all: usize = documents.iter().map(|document| document.tokens.len()).sum();
    let fair = all.div_ceil(all.div_ceil(at_once).max(1));
    let (mut parts, mut start, mut n_tokens) = (Vec::new(), 0, 0);
    for (place, document) in documents.iter().enumerate() {
        let n = document.tokens.len();
        if place > start && (n_tokens + n > at_once || n_tokens >= fair) {
            parts.push(&documents[start..place]);
            (start, n_tokens) = (place, 0);
        }
        n_tokens += n;
    }
    parts.push(&documents[start..]);
    parts
}
