//! Documents of different lengths, one after the other: only real tokens are
//! computed.

use std::collections::HashMap;

use burn::tensor::{Device, Int, Tensor};

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{index_tensor, matrix, to_index};
use crate::backbone::layout::{Extent, Layout};
use crate::tokens::prompt::Token;
use crate::tokens::table::Table;

/// A document that goes through the backbone. It ends where it is read last:
/// nothing sees what would follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tokens: Vec<Token>,
    /// How many of its last tokens are read: their hidden states are wanted.
    pub(crate) n_read: usize,
}

impl Reading {
    /// A document whose last token alone is read.
    pub(crate) fn last(tokens: Vec<Token>) -> Self {
        let n_read = tokens.len().min(1);
        Self { tokens, n_read }
    }

    /// Prompts whose last tokens alone are read.
    pub(crate) fn of_prompts(prompts: &[Vec<Token>]) -> Vec<Self> {
        prompts.iter().cloned().map(Self::last).collect()
    }

    /// A document whose tokens are all read.
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

/// The distinct tokens of a batch, and each packed token as a row of the matrix
/// `[words; users; items]`.
#[derive(Debug)]
pub(crate) struct TokenBatch {
    /// The distinct words, ascending.
    pub(crate) words: Vec<u32>,
    /// The distinct user rows, ascending.
    pub(crate) users: Vec<u32>,
    /// The distinct item rows, ascending.
    pub(crate) items: Vec<u32>,
    /// The row of each packed token in that matrix `[tokens]`.
    pub(crate) index: Tensor<1, Int>,
    /// Where the tokens lie.
    pub(crate) layout: Layout,
    /// The packed rows that hold a user or an item, and which: what gets a
    /// gradient.
    pub(crate) soft: Vec<(usize, Token)>,
    /// How many tokens the documents have together.
    pub(crate) n_tokens: usize,
}

impl TokenBatch {
    /// Packs documents for a backbone; each must fit into its positions, which
    /// the prompt functions see to.
    pub(crate) fn new(documents: &[Reading], backbone: &Backbone) -> Self {
        let device = backbone.device();
        let n_positions = backbone.n_positions();
        let mut tokens = Vec::new();
        let mut extents = Vec::with_capacity(documents.len());
        for document in documents {
            debug_assert!(
                document.tokens.len() <= n_positions,
                "a document exceeds {n_positions} positions"
            );
            tokens.extend_from_slice(&document.tokens);
            extents.push(document.extent());
        }

        let words = distinct(&tokens, Token::word);
        let users = distinct(&tokens, Token::user);
        let items = distinct(&tokens, Token::item);

        let word_at = places(&words, 0);
        let user_at = places(&users, words.len());
        let item_at = places(&items, words.len() + users.len());

        let mut index = Vec::with_capacity(tokens.len());
        let mut soft = Vec::new();
        for (row, &token) in tokens.iter().enumerate() {
            index.push(match token {
                Token::Word(word) => word_at[&word],
                Token::User(user) => user_at[&user],
                Token::Item(item) => item_at[&item],
            });
            if token.word().is_none() {
                soft.push((row, token));
            }
        }
        Self {
            words,
            users,
            items,
            index: index_tensor(index, &device),
            layout: Layout::new(&extents, &device),
            soft,
            n_tokens: tokens.len(),
        }
    }
}

/// The place of each row, counted from `first` on.
fn places(rows: &[u32], first: usize) -> HashMap<u32, i32> {
    let places = rows.iter().enumerate();
    places
        .map(|(place, &row)| (row, to_index(first + place)))
        .collect()
}

/// The distinct rows of one kind of token, ascending.
pub(crate) fn distinct(
    tokens: &[Token],
    pick: fn(Token) -> Option<u32>,
) -> Vec<u32> {
    let picked = tokens.iter().filter_map(|&token| pick(token));
    let mut rows: Vec<u32> = picked.collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The rows of a table as a tensor `[rows, width]`.
pub(crate) fn rows_tensor(
    table: &Table,
    rows: &[u32],
    device: &Device,
) -> Tensor<2> {
    matrix(table.gather(rows), table.width(), device)
}

/// How many tokens some documents have together.
pub(crate) fn n_tokens(documents: &[Reading]) -> usize {
    let lengths = documents.iter().map(|document| document.tokens.len());
    lengths.sum()
}

/// Consecutive documents, at most `at_once` tokens together unless one alone
/// has more; parts of about the same size, because products of few rows are
/// slow.
pub(crate) fn parts(documents: &[Reading], at_once: usize) -> Vec<&[Reading]> {
    let all = n_tokens(documents);
    let n_parts = all.div_ceil(at_once).max(1);
    let fair = all.div_ceil(n_parts);

    let mut parts = Vec::new();
    let mut start = 0;
    let mut n_tokens = 0;
    for (place, document) in documents.iter().enumerate() {
        let n = document.tokens.len();
        let is_full = n_tokens + n > at_once || n_tokens >= fair;
        if place > start && is_full {
            parts.push(&documents[start..place]);
            start = place;
            n_tokens = 0;
        }
        n_tokens += n;
    }
    parts.push(&documents[start..]);
    parts
}
