//! One training step: an objective's loss and the gradients of the rows it touches.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::loss::{Softmax, Teacher};
use crate::packing::{TokenBatch, index_tensor, matrix, rows_tensor, to_index, to_vec};
use crate::prompt::{Document, Token};
use crate::{Error, Gpt2, Table, TokenTables};

/// What a softmax is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The V words; tied with the frozen word embeddings.
    Words,
    /// The J items; tied with the model's own item table, which therefore gets a dense gradient.
    Items,
}

/// A batch and what is asked of it. Made by [`crate::content`], [`crate::collaborative`], [`crate::recommender`].
#[derive(Debug, Clone)]
pub struct Objective {
    pub(crate) stage: &'static str,
    pub(crate) documents: Vec<Vec<Token>>,
    /// Packed positions whose hidden state is read.
    pub(crate) read: Vec<usize>,
    /// Classes asked for at each read position.
    pub(crate) targets: Vec<Vec<u32>>,
    pub(crate) head: Head,
    /// The summed loss is divided by this.
    pub(crate) mean_over: usize,
    pub(crate) logit_scale: f64,
    pub(crate) teacher: Option<Teacher>,
    /// The soft tokens that the regulariser sums over, one entry a position.
    pub(crate) regularized: Vec<Token>,
    /// Dropout on item rows as they enter the prompt.
    pub(crate) dropout: Option<(f64, ChaCha8Rng)>,
}

impl Objective {
    /// Real tokens of the batch.
    pub fn n_tokens(&self) -> usize {
        self.documents.iter().map(Vec::len).sum()
    }

    /// The softmax that is asked for, its head as it is now; `learned` is the head that gets a gradient.
    pub(crate) fn softmax(&self, gpt2: &Gpt2, tables: &TokenTables, learned: Head) -> Softmax<'_> {
        let head = match self.head {
            Head::Words => gpt2.wte.val().inner(),
            Head::Items => matrix(tables.items.values().to_vec(), tables.items.width(), &gpt2.device().inner()),
        };
        Softmax {
            head,
            targets: &self.targets,
            teacher: self.teacher.as_ref(),
            logit_scale: self.logit_scale,
            weight: 1.0 / self.mean_over as f64,
            head_is_learned: self.head == learned,
        }
    }

    /// Next-token prediction over the main texts: the mean over all predicted positions. The first main token is
    /// not predicted.
    pub(crate) fn next_token(stage: &'static str, documents: &[Document], head: Head) -> Self {
        let mut objective = Self {
            stage,
            documents: Vec::with_capacity(documents.len()),
            read: Vec::new(),
            targets: Vec::new(),
            head,
            mean_over: 1,
            logit_scale: 1.0,
            teacher: None,
            regularized: Vec::new(),
            dropout: None,
        };
        let mut start = 0;
        for document in documents {
            let main_start = start + document.prompt.len();
            for (t, next) in document.main.iter().enumerate().skip(1) {
                objective.read.push(main_start + t - 1);
                let (Token::Word(row) | Token::User(row) | Token::Item(row)) = *next;
                objective.targets.push(vec![row]);
            }
            let tokens = [document.prompt.as_slice(), &document.main].concat();
            objective.regularized.extend(soft(&tokens));
            start += tokens.len();
            objective.documents.push(tokens);
        }
        objective.mean_over = objective.read.len().max(1);
        objective
    }
}

/// The user and item tokens among `tokens`.
pub(crate) fn soft(tokens: &[Token]) -> impl Iterator<Item = Token> + '_ {
    tokens.iter().copied().filter(|token| token.word().is_none())
}

/// Mutual regularisation: the other model's tables, held constant, and how strongly they pull.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    /// The tables that are pulled to.
    pub toward: &'a TokenTables,
    /// λ: summed over the positions of the batch, not averaged.
    pub lambda: f64,
    /// λ_l: the prior `λ_l/2 ‖z‖²` on the rows of the batch.
    pub prior: f64,
}

/// Gradients of some rows of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowGradients {
    /// Distinct row numbers, ascending.
    pub rows: Vec<u32>,
    /// One row of K entries for each, row-major.
    pub values: Vec<f32>,
}

impl RowGradients {
    /// The gradients as a full table of `n_rows`, zero elsewhere.
    #[must_use]
    pub fn dense(&self, n_rows: usize, width: usize) -> Self {
        let mut values = vec![0.0; n_rows * width];
        for (row, gradient) in self.rows.iter().zip(self.values.chunks_exact(width)) {
            values[*row as usize * width..][..width].copy_from_slice(gradient);
        }
        Self { rows: (0..n_rows as u32).collect(), values }
    }
}

/// Loss and gradients of one step.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Cross-entropy plus regulariser.
    pub loss: f64,
    /// The cross-entropy alone.
    pub cross_entropy: f64,
    /// The regulariser without λ: `Σ_positions ‖z − z_other‖²`.
    pub regularizer: f64,
    /// Real tokens that went through the backbone.
    pub n_tokens: usize,
    /// Of the user table.
    pub users: RowGradients,
    /// Of the item table.
    pub items: RowGradients,
}

/// Computes an objective's loss and gradients with respect to `own` (paper, eqs. 5 to 9).
///
/// A batch without a predicted token has loss 0 and no gradients. A loss that is not finite is an error.
pub fn compute(gpt2: &Gpt2, own: &TokenTables, pull: Option<Pull<'_>>, objective: &Objective) -> Result<Step, Error> {
    if objective.read.is_empty() {
        return Ok(Step::default());
    }
    let mut step = cross_entropy(gpt2, own, objective);
    if let Some(pull) = pull {
        let width = own.items.width();
        let counts = occurrences(&objective.regularized);
        let users = regularize(&mut step.users, &counts.users, &own.users, &pull.toward.users, &pull);
        let items = regularize(&mut step.items, &counts.items, &own.items, &pull.toward.items, &pull);
        debug_assert_eq!(step.items.values.len(), step.items.rows.len() * width);
        step.regularizer = users.distance + items.distance;
        step.loss += pull.lambda * step.regularizer + pull.prior / 2.0 * (users.norm + items.norm);
    }
    if !step.loss.is_finite() {
        return Err(Error::Diverged { stage: objective.stage, loss: step.loss });
    }
    Ok(step)
}

/// The cross-entropy part, through the backbone.
fn cross_entropy(gpt2: &Gpt2, own: &TokenTables, objective: &Objective) -> Step {
    let device = gpt2.device().inner();
    let batch = TokenBatch::new(&objective.documents, gpt2.n_positions(), &device);
    let leaves = Leaves::new(own, &batch, &device);
    let embeddings = leaves.embed(gpt2, &batch, objective.dropout.as_ref(), &device);
    let hidden = gpt2.forward(embeddings, &batch.layout); // [tokens, embed]
    let read = index_tensor(objective.read.iter().map(|&t| to_index(t)).collect(), &device);
    let hidden = hidden.select(0, read); // [read, embed]
    let ce = objective.softmax(gpt2, own, Head::Items).cross_entropy(&hidden.clone().inner());
    // There is no `backward(gradient)`: a product with the constant gradient has it as its derivative.
    let mut step = leaves.backward(&(hidden * ce.d_hidden).sum(), &batch);
    if let Some(d_head) = ce.d_head {
        step.items = add_dense(&step.items, to_vec(d_head), own.items.width());
    }
    Step { loss: ce.loss, cross_entropy: ce.loss, n_tokens: batch.n_tokens, ..step }
}

/// The rows of a batch as leaves of the autodiff graph; absent where the batch has none.
struct Leaves {
    users: Option<Tensor<2>>,
    items: Option<Tensor<2>>,
}

impl Leaves {
    fn new(own: &TokenTables, batch: &TokenBatch, device: &Device) -> Self {
        let autodiff = device.clone().autodiff();
        let leaf = |table: &Table, rows: &[u32]| {
            (!rows.is_empty()).then(|| rows_tensor(table, rows, &autodiff).require_grad())
        };
        Self { users: leaf(&own.users, &batch.users), items: leaf(&own.items, &batch.items) }
    }

    /// Shapes: → `[tokens, embed]`.
    fn embed(
        &self,
        gpt2: &Gpt2,
        batch: &TokenBatch,
        dropout: Option<&(f64, ChaCha8Rng)>,
        device: &Device,
    ) -> Tensor<2> {
        let words = gpt2.wte.val().select(0, batch.word_rows(device)).autodiff();
        let items = self.items.clone().map(|items| match dropout {
            Some((share, rng)) if *share > 0.0 => items.clone() * dropout_mask(items.dims(), *share, rng, device),
            _ => items,
        });
        let distinct: Vec<Tensor<2>> = [Some(words), self.users.clone(), items].into_iter().flatten().collect();
        Tensor::cat(distinct, 0).select(0, batch.index.clone())
    }

    fn backward(&self, objective: &Tensor<1>, batch: &TokenBatch) -> Step {
        if self.users.is_none() && self.items.is_none() {
            return Step::default();
        }
        let mut gradients = objective.backward();
        let mut take = |leaf: &Option<Tensor<2>>, rows: &[u32]| {
            let gradient = leaf.as_ref().and_then(|leaf| leaf.grad_remove(&mut gradients));
            gradient.map_or_else(RowGradients::default, |gradient| RowGradients {
                rows: rows.to_vec(),
                values: to_vec(gradient),
            })
        };
        Step { users: take(&self.users, &batch.users), items: take(&self.items, &batch.items), ..Step::default() }
    }
}

/// Entries that stay are scaled up, so that a row keeps its expected value.
fn dropout_mask(shape: [usize; 2], share: f64, rng: &ChaCha8Rng, device: &Device) -> Tensor<2> {
    let mut rng = rng.clone();
    let kept = 1.0 / (1.0 - share as f32);
    let mask = (0..shape[0] * shape[1]).map(|_| if rng.random::<f64>() < share { 0.0 } else { kept }).collect();
    matrix(mask, shape[1], device)
}

fn add_dense(sparse: &RowGradients, mut dense: Vec<f32>, width: usize) -> RowGradients {
    for (row, gradient) in sparse.rows.iter().zip(sparse.values.chunks_exact(width)) {
        let sum = &mut dense[*row as usize * width..][..width];
        sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
    }
    RowGradients { rows: (0..(dense.len() / width) as u32).collect(), values: dense }
}

/// How often each row occurs in the batch.
struct Occurrences {
    users: HashMap<u32, usize>,
    items: HashMap<u32, usize>,
}

fn occurrences(tokens: &[Token]) -> Occurrences {
    let mut counts = Occurrences { users: HashMap::new(), items: HashMap::new() };
    for token in tokens {
        match *token {
            Token::User(row) => *counts.users.entry(row).or_default() += 1,
            Token::Item(row) => *counts.items.entry(row).or_default() += 1,
            Token::Word(_) => {}
        }
    }
    counts
}

/// Squared lengths that the regulariser adds up.
struct Squares {
    distance: f64,
    norm: f64,
}

/// `λ Σ_positions ‖z − z_other‖² + λ_l/2 Σ_rows ‖z‖²`: the squares, and the gradient added to `gradients`.
fn regularize(
    gradients: &mut RowGradients,
    counts: &HashMap<u32, usize>,
    own: &Table,
    other: &Table,
    pull: &Pull<'_>,
) -> Squares {
    let width = own.width();
    let mut squares = Squares { distance: 0.0, norm: 0.0 };
    let mut missing: Vec<u32> =
        counts.keys().copied().filter(|row| gradients.rows.binary_search(row).is_err()).collect();
    if !missing.is_empty() {
        missing.sort_unstable();
        insert_rows(gradients, &missing, width);
    }
    for (place, row) in gradients.rows.iter().enumerate() {
        let Some(&count) = counts.get(row) else { continue };
        let gradient = &mut gradients.values[place * width..][..width];
        for ((slope, &z), &constant) in gradient.iter_mut().zip(own.row(*row)).zip(other.row(*row)) {
            let difference = f64::from(z) - f64::from(constant);
            squares.distance += count as f64 * difference * difference;
            squares.norm += f64::from(z) * f64::from(z);
            *slope += (2.0 * pull.lambda * count as f64 * difference + pull.prior * f64::from(z)) as f32;
        }
    }
    squares
}

/// Adds rows with a zero gradient, keeping the order.
fn insert_rows(gradients: &mut RowGradients, missing: &[u32], width: usize) {
    let old = std::mem::take(gradients);
    let mut rows = [old.rows.as_slice(), missing].concat();
    rows.sort_unstable();
    let mut values = vec![0.0; rows.len() * width];
    let mut from = old.rows.iter().zip(old.values.chunks_exact(width)).peekable();
    for (row, to) in rows.iter().zip(values.chunks_exact_mut(width)) {
        if let Some((_, gradient)) = from.next_if(|(old_row, _)| *old_row == row) {
            to.copy_from_slice(gradient);
        }
    }
    *gradients = RowGradients { rows, values };
}
