//! One training step: an objective's loss and the gradients of the rows it touches.

use std::collections::HashMap;

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;

use crate::backbone::gpt2::Gpt2;
use crate::backbone::host::{index_tensor, matrix, to_index, to_vec};
use crate::error::Error;
use crate::tokens::packing::{Reading, TokenBatch, rows_tensor};
use crate::tokens::prompt::{Document, Token};
use crate::tokens::soft_tokens::{ItemMask, SoftGradients, embed};
use crate::tokens::tables::{Table, TokenTables};
use crate::training::candidates::Candidates;
use crate::training::loss::{Softmax, Teacher, sum};

/// What a softmax is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The V words; tied with the frozen word embeddings.
    Words,
    /// The J items; tied with the model's own item table, which therefore gets a dense gradient.
    Items,
}

/// A batch and what is asked of it. Made by [`crate::training::content`], [`crate::training::collaborative`],
/// [`crate::training::recommender`].
#[derive(Debug, Clone)]
pub struct Objective {
    pub(crate) stage: &'static str,
    pub(crate) documents: Vec<Reading>,
    /// Classes asked for at each position that is read.
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
    /// What an item softmax is over; the whole catalogue where absent. Targets are places among
    /// them then.
    pub(crate) candidates: Option<Candidates>,
}

impl Objective {
    /// The same with its item softmax over the targets and a sample of the other items; without a
    /// teacher, which asks for all of them. An objective over words stays as it is.
    #[must_use]
    pub fn sampled(mut self, n_sampled: usize, n_items: usize, rng: &mut ChaCha8Rng) -> Self {
        if self.head == Head::Words {
            return self;
        }
        let candidates = Candidates::draw(&self.targets, n_sampled, n_items, rng);
        self.targets
            .iter_mut()
            .flatten()
            .for_each(|target| *target = candidates.place(*target));
        self.teacher = None;
        Self {
            candidates: Some(candidates),
            ..self
        }
    }

    /// Real tokens of the batch.
    pub fn n_tokens(&self) -> usize {
        self.documents
            .iter()
            .map(|document| document.tokens.len())
            .sum()
    }

    /// The softmax that is asked for, its head as it is now; `learned` is the head that gets a
    /// gradient.
    pub(crate) fn softmax(&self, gpt2: &Gpt2, tables: &TokenTables, learned: Head) -> Softmax<'_> {
        let device = gpt2.device().inner();
        let head = match (self.head, &self.candidates) {
            (Head::Words, _) => gpt2.wte.val().inner(),
            (Head::Items, None) => matrix(
                tables.items.values().into_owned(),
                tables.items.width(),
                &device,
            ),
            (Head::Items, Some(candidates)) => {
                rows_tensor(&tables.items, &candidates.rows, &device)
            }
        };
        Softmax {
            head,
            offsets: self
                .candidates
                .as_ref()
                .map(|candidates| &*candidates.offsets),
            targets: &self.targets,
            teacher: self.teacher.as_ref(),
            logit_scale: self.logit_scale,
            weight: 1.0 / self.mean_over as f64,
            head_is_learned: self.head == learned,
        }
    }

    /// Next-token prediction over the main texts: the mean over all predicted positions. The first
    /// main token is not predicted.
    pub(crate) fn next_token(stage: &'static str, documents: &[Document], head: Head) -> Self {
        let mut objective = Self {
            stage,
            documents: Vec::with_capacity(documents.len()),
            targets: Vec::new(),
            head,
            mean_over: 1,
            logit_scale: 1.0,
            teacher: None,
            regularized: Vec::new(),
            dropout: None,
            candidates: None,
        };
        for document in documents {
            for next in document.main.iter().skip(1) {
                let (Token::Word(row) | Token::User(row) | Token::Item(row)) = *next;
                objective.targets.push(vec![row]);
            }
            let mut tokens = [document.prompt.as_slice(), &document.main].concat();
            objective.regularized.extend(soft(&tokens));
            // The last token is asked for and asks for nothing: it is not computed.
            let n_read = document.main.len().saturating_sub(1);
            tokens.truncate(document.prompt.len() + n_read);
            objective.documents.push(Reading { tokens, n_read });
        }
        objective.mean_over = objective.targets.len().max(1);
        objective
    }
}

/// The user and item tokens among `tokens`.
pub(crate) fn soft(tokens: &[Token]) -> impl Iterator<Item = Token> + '_ {
    tokens
        .iter()
        .copied()
        .filter(|token| token.word().is_none())
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
    /// Entries of the softmax.
    pub n_logits: usize,
    /// Of the user table.
    pub users: RowGradients,
    /// Of the item table.
    pub items: RowGradients,
}

/// Computes an objective's loss and gradients with respect to `own` (paper, eqs. 5 to 9).
///
/// A batch without a predicted token has loss 0 and no gradients. A loss that is not finite is an
/// error.
#[tracing::instrument(level = "trace", name = "step", skip_all)]
pub fn compute(
    gpt2: &Gpt2,
    own: &TokenTables,
    pull: Option<Pull<'_>>,
    objective: &Objective,
) -> Result<Step, Error> {
    if objective.targets.is_empty() {
        return Ok(Step::default());
    }
    let mut step = gpt2
        .budget
        .fit(|at_once| cross_entropy(gpt2, own, objective, at_once))?;
    if let Some(pull) = pull {
        let width = own.items.width();
        let counts = occurrences(&objective.regularized);
        let users = regularize(
            &mut step.users,
            &counts.users,
            &own.users,
            &pull.toward.users,
            &pull,
        );
        let items = regularize(
            &mut step.items,
            &counts.items,
            &own.items,
            &pull.toward.items,
            &pull,
        );
        debug_assert_eq!(step.items.values.len(), step.items.rows.len() * width);
        step.regularizer = users.distance + items.distance;
        step.loss += pull.lambda * step.regularizer + pull.prior / 2.0 * (users.norm + items.norm);
    }
    if !step.loss.is_finite() {
        return Err(Error::Diverged {
            stage: objective.stage,
            loss: step.loss,
        });
    }
    Ok(step)
}

/// The cross-entropy part, through the backbone, some documents at a time.
fn cross_entropy(gpt2: &Gpt2, own: &TokenTables, objective: &Objective, at_once: usize) -> Step {
    let (device, width) = (gpt2.device(), own.items.width());
    let tokens: Vec<Token> = objective
        .documents
        .iter()
        .flat_map(|document| &document.tokens)
        .copied()
        .collect();
    let mask = objective
        .dropout
        .as_ref()
        .filter(|(share, _)| *share > 0.0)
        .map(|(share, rng)| ItemMask::new(&tokens, width, *share, rng));
    let softmax = objective.softmax(gpt2, own, Head::Items);
    let mut gradients = SoftGradients::zeros(&tokens, width);
    let mut head: Option<Tensor<2>> = None;
    let (mut loss, mut n_read, mut n_tokens, mut n_logits) = (0.0, 0, 0, 0);
    for documents in parts(&objective.documents, at_once) {
        let batch = TokenBatch::new(documents, gpt2.n_positions(), &device);
        let (hidden, kept) =
            gpt2.forward_kept(embed(gpt2, own, &batch, mask.as_ref()), &batch.layout);
        let of_part = n_read..n_read + hidden.dims()[0];
        n_read = of_part.end;
        let ce = softmax.cross_entropy(&hidden, of_part);
        loss += ce.loss;
        n_tokens += batch.n_tokens;
        n_logits += ce.n_logits;
        head = sum(head, ce.d_head);
        if !batch.soft.is_empty() {
            let soft = index_tensor(
                batch.soft.iter().map(|&(row, _)| to_index(row)).collect(),
                &device,
            );
            gradients.add(
                &batch,
                &to_vec(gpt2.backward(kept, &batch.layout, ce.d_hidden, &soft)),
                width,
            );
        }
    }
    let SoftGradients { users, mut items } = gradients.masked(mask.as_ref());
    if let Some(head) = head {
        let rows = objective.candidates.as_ref().map_or_else(
            || (0..own.items.n_rows() as u32).collect(),
            |candidates| candidates.rows.clone(),
        );
        items = merged(
            &items,
            RowGradients {
                rows,
                values: to_vec(head),
            },
            width,
        );
    }
    Step {
        loss,
        cross_entropy: loss,
        n_tokens,
        n_logits,
        users,
        items,
        ..Step::default()
    }
}

/// Takes as much of the device's memory as a step can need, so that it is known to be there before
/// the work begins and stays with this process: allocators of cards keep what they had.
pub fn rehearse(gpt2: &Gpt2, own: &TokenTables) -> Result<(), Error> {
    let length = gpt2.n_positions().min(gpt2.budget.get());
    let document = Document {
        prompt: vec![Token::Item(0)],
        main: vec![Token::Word(0); length - 1],
    };
    let n_documents = gpt2.budget.get().div_ceil(length);
    let objective = Objective::next_token("rehearsal", &vec![document; n_documents], Head::Words);
    compute(gpt2, own, None, &objective).map(drop)
}

/// How often each row occurs in the batch.
struct Occurrences {
    users: HashMap<u32, usize>,
    items: HashMap<u32, usize>,
}

fn occurrences(tokens: &[Token]) -> Occurrences {
    let mut counts = Occurrences {
        users: HashMap::new(),
        items: HashMap::new(),
    };
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

/// `λ Σ_positions ‖z − z_other‖² + λ_l/2 Σ_rows ‖z‖²`: the squares, and the gradient added to
/// `gradients`.
fn regularize(
    gradients: &mut RowGradients,
    counts: &HashMap<u32, usize>,
    own: &Table,
    other: &Table,
    pull: &Pull<'_>,
) -> Squares {
    let width = own.width();
    let mut squares = Squares {
        distance: 0.0,
        norm: 0.0,
    };
    let mut missing: Vec<u32> = counts
        .keys()
        .copied()
        .filter(|row| gradients.rows.binary_search(row).is_err())
        .collect();
    missing.sort_unstable();
    insert_rows(gradients, &missing, width);
    for (place, row) in gradients.rows.iter().enumerate() {
        let Some(&count) = counts.get(row) else {
            continue;
        };
        let gradient = &mut gradients.values[place * width..][..width];
        for ((slope, &z), &constant) in gradient
            .iter_mut()
            .zip(&*own.row(*row))
            .zip(&*other.row(*row))
        {
            let difference = f64::from(z) - f64::from(constant);
            squares.distance += count as f64 * difference * difference;
            squares.norm += f64::from(z) * f64::from(z);
            *slope +=
                (2.0 * pull.lambda * count as f64 * difference + pull.prior * f64::from(z)) as f32;
        }
    }
    squares
}
