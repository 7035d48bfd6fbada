//! The user and item rows of a batch: how they enter the backbone, and how
//! their gradients are gathered.

use burn::tensor::{DType, Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::backbone::decoder::Backbone;
use crate::backbone::host::matrix;
use crate::tokens::packing::{TokenBatch, distinct, rows_tensor};
use crate::tokens::prompt::Token;
use crate::tokens::row_gradients::RowGradients;
use crate::tokens::table::Table;
use crate::tokens::tables::TokenTables;

/// How much of the item rows is dropped as they enter prompts.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// The share of the entries that is dropped, 0 to 1.
    pub share: f64,
    /// The random numbers that decide which entries are dropped.
    pub rng: ChaCha8Rng,
}

/// Dropout on item rows as they enter prompts: one mask a row, the same
/// wherever it occurs in the batch. Entries that stay are scaled up, so that a
/// row keeps its expected value.
#[derive(Debug)]
pub(crate) struct ItemMask {
    /// The items of the batch, ascending.
    rows: Vec<u32>,
    /// What each entry is multiplied with `[rows, embed]`.
    factors: Vec<f32>,
}

impl ItemMask {
    /// Draws a mask for the items among `tokens`.
    pub(crate) fn new(
        tokens: &[Token],
        width: usize,
        dropout: &Dropout,
    ) -> Self {
        let rows = distinct(tokens, Token::item);
        let mut rng = dropout.rng.clone();
        let scale = 1.0 / (1.0 - dropout.share as f32);
        let mut factors = Vec::with_capacity(rows.len() * width);
        for _ in 0..rows.len() * width {
            let is_dropped = rng.random::<f64>() < dropout.share;
            factors.push(if is_dropped { 0.0 } else { scale });
        }
        Self { rows, factors }
    }

    /// Multiplies the values of item rows `[rows, embed]` with their factors.
    fn apply(&self, rows: &[u32], values: &mut [f32]) {
        let width = self.factors.len() / self.rows.len().max(1);
        let values = values.chunks_exact_mut(width.max(1));
        for (row, values) in rows.iter().zip(values) {
            let place = self.rows.binary_search(row);
            let place = place.expect("the mask was made for the batch's items");
            let factors = &self.factors[place * width..][..width];
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        }
    }
}

/// The embedding of each packed token, without its position.
///
/// Shapes: → `[tokens, embed]`.
#[tracing::instrument(level = "trace", name = "data", skip_all)]
pub(crate) fn embed(
    backbone: &Backbone,
    tables: &TokenTables,
    batch: &TokenBatch,
    mask: Option<&ItemMask>,
) -> Tensor<2> {
    let device = backbone.device();
    let mut distinct = Vec::with_capacity(3);
    if !batch.words.is_empty() {
        let words = backbone.word_embeddings(&batch.words);
        distinct.push(words.cast(DType::F32));
    }
    if !batch.users.is_empty() {
        let users = rows_tensor(&tables.users, &batch.users, &device);
        distinct.push(users);
    }
    if !batch.items.is_empty() {
        let items = item_rows(&tables.items, &batch.items, mask, &device);
        distinct.push(items);
    }
    let matrix = Tensor::cat(distinct, 0); // [words; users; items]
    matrix.select(0, batch.index.clone())
}

fn item_rows(
    table: &Table,
    rows: &[u32],
    mask: Option<&ItemMask>,
    device: &Device,
) -> Tensor<2> {
    let Some(mask) = mask else {
        return rows_tensor(table, rows, device);
    };
    let mut values = table.gather(rows);
    mask.apply(rows, &mut values);
    matrix(values, table.width(), device)
}

/// The gradients of user and item rows, summed over the positions where they
/// occur.
pub(crate) struct SoftGradients {
    pub(crate) users: RowGradients,
    pub(crate) items: RowGradients,
}

impl SoftGradients {
    /// Zero gradients of each user and item among `tokens`.
    pub(crate) fn zeros(tokens: &[Token], width: usize) -> Self {
        let users = distinct(tokens, Token::user);
        let items = distinct(tokens, Token::item);
        Self {
            users: RowGradients::zeros(users, width),
            items: RowGradients::zeros(items, width),
        }
    }

    /// Adds the gradients at a batch's soft positions `[soft, embed]`,
    /// row-major.
    pub(crate) fn add(
        &mut self,
        batch: &TokenBatch,
        gradients: &[f32],
        width: usize,
    ) {
        let gradients = gradients.chunks_exact(width);
        for ((_, token), gradient) in batch.soft.iter().zip(gradients) {
            match *token {
                Token::User(row) => self.users.add(row, gradient),
                Token::Item(row) => self.items.add(row, gradient),
                Token::Word(_) => {}
            }
        }
    }

    /// Puts the gradients of rows that entered through a mask through it too.
    pub(crate) fn masked(mut self, mask: Option<&ItemMask>) -> Self {
        if let Some(mask) = mask {
            mask.apply(&self.items.rows, &mut self.items.values);
        }
        self
    }
}
