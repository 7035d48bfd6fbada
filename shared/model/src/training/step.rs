//! One training step: an objective's loss and the gradients of the rows it touches.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::backbone::decoder::Backbone;
use crate::backbone::host::{index_tensor, to_index, to_vec};
use crate::error::Error;
use crate::tokens::packing::{Reading, TokenBatch, parts};
use crate::tokens::prompt::{Document, Token};
use crate::tokens::row_gradients::RowGradients;
use crate::tokens::soft_tokens::{ItemMask, SoftGradients, embed};
use crate::tokens::tables::TokenTables;
use crate::training::content;
use crate::training::loss::{Softmax, sum};
use crate::training::objective::{Head, Objective};
use crate::training::regularizer::{Occurrences, Pull, Pulled, regularize};

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
    /// Gradients of the user table.
    pub users: RowGradients,
    /// Gradients of the item table.
    pub items: RowGradients,
}

/// Computes an objective's loss and gradients with respect to `own` (paper, eqs. 5 to 9).
///
/// A batch without a predicted token has loss 0 and no gradients. A loss that is not finite is an
/// error.
#[tracing::instrument(level = "trace", name = "step", skip_all)]
pub fn compute(
    backbone: &Backbone,
    own: &TokenTables,
    pull: Option<Pull<'_>>,
    objective: &Objective,
) -> Result<Step, Error> {
    if objective.targets.is_empty() {
        return Ok(Step::default());
    }
    let pass = Pass {
        backbone,
        own,
        objective,
    };
    let mut step = backbone
        .budget()
        .fit(|n_at_once| pass.cross_entropy(n_at_once))?;
    if let Some(pull) = pull {
        add_regularizer(&mut step, own, &pull, objective);
    }
    if !step.loss.is_finite() {
        return Err(Error::Diverged {
            stage: objective.stage,
            loss: step.loss,
        });
    }
    Ok(step)
}

/// Adds the regulariser's loss and gradients.
fn add_regularizer(step: &mut Step, own: &TokenTables, pull: &Pull<'_>, objective: &Objective) {
    let counts = Occurrences::count(&objective.regularized);
    let tables = Pulled {
        own: &own.users,
        other: &pull.toward.users,
    };
    let users = regularize(&tables, &counts.users, pull, &mut step.users);
    let tables = Pulled {
        own: &own.items,
        other: &pull.toward.items,
    };
    let items = regularize(&tables, &counts.items, pull, &mut step.items);
    step.regularizer = users.distance + items.distance;
    step.loss += pull.lambda * step.regularizer + pull.prior / 2.0 * (users.norm + items.norm);
}

/// What goes through the backbone, forwards and back.
struct Pass<'a> {
    backbone: &'a Backbone,
    own: &'a TokenTables,
    objective: &'a Objective,
}

/// The sums over the documents that went through so far.
struct Sums {
    loss: f64,
    n_tokens: usize,
    n_logits: usize,
    /// Positions that were read.
    n_read: usize,
    /// Gradient of the head's rows `[classes, embed]`, where the head is learned.
    head: Option<Tensor<2>>,
    soft: SoftGradients,
}

impl Pass<'_> {
    /// The cross-entropy part; about `n_at_once` tokens go through the backbone at once.
    fn cross_entropy(&self, n_at_once: usize) -> Step {
        let width = self.own.items.width();
        let documents = &self.objective.documents;
        let tokens: Vec<Token> = documents
            .iter()
            .flat_map(|document| &document.tokens)
            .copied()
            .collect();
        let mask = match &self.objective.dropout {
            Some(dropout) if dropout.share > 0.0 => Some(ItemMask::new(&tokens, width, dropout)),
            _ => None,
        };
        let softmax = self.objective.softmax(self.backbone, self.own, Head::Items);
        let mut sums = Sums {
            loss: 0.0,
            n_tokens: 0,
            n_logits: 0,
            n_read: 0,
            head: None,
            soft: SoftGradients::zeros(&tokens, width),
        };
        for documents in parts(documents, n_at_once) {
            self.add_documents(documents, &softmax, mask.as_ref(), &mut sums);
        }
        self.step(sums, mask.as_ref())
    }

    /// Adds loss and gradients of some documents.
    fn add_documents(
        &self,
        documents: &[Reading],
        softmax: &Softmax<'_>,
        mask: Option<&ItemMask>,
        sums: &mut Sums,
    ) {
        let (backbone, device) = (self.backbone, self.backbone.device());
        let batch = TokenBatch::new(documents, backbone.n_positions(), &device);
        let embeddings = embed(backbone, self.own, &batch, mask);
        let (hidden, kept) = backbone.forward_kept(embeddings, &batch.layout);
        let read: Range<usize> = sums.n_read..sums.n_read + hidden.dims()[0];
        sums.n_read = read.end;
        let ce = softmax.cross_entropy(&hidden, read);
        sums.loss += ce.loss;
        sums.n_tokens += batch.n_tokens;
        sums.n_logits += ce.n_logits;
        sums.head = sum(sums.head.take(), ce.d_head);
        if !batch.soft.is_empty() {
            let rows = batch.soft.iter().map(|&(row, _)| to_index(row)).collect();
            let rows = index_tensor(rows, &device);
            let gradients = backbone.backward(kept, &batch.layout, ce.d_hidden, &rows);
            let width = self.own.items.width();
            sums.soft.add(&batch, &to_vec(gradients), width);
        }
    }

    /// The rows' gradients as users and as items, who may be classes of the softmax too.
    fn step(&self, sums: Sums, mask: Option<&ItemMask>) -> Step {
        let SoftGradients { users, mut items } = sums.soft.masked(mask);
        if let Some(head) = sums.head {
            let rows = match &self.objective.candidates {
                Some(candidates) => candidates.rows.clone(),
                None => (0..self.own.items.n_rows() as u32).collect(),
            };
            let values = to_vec(head);
            let mut of_classes = RowGradients { rows, values };
            of_classes.add_all(&items, self.own.items.width());
            items = of_classes;
        }
        Step {
            loss: sums.loss,
            cross_entropy: sums.loss,
            regularizer: 0.0,
            n_tokens: sums.n_tokens,
            n_logits: sums.n_logits,
            users,
            items,
        }
    }
}

/// Takes as much of the device's memory as a step can need, so that it is known to be there before
/// the work begins and stays with this process: allocators of cards keep what they had.
pub fn rehearse(backbone: &Backbone, own: &TokenTables) -> Result<(), Error> {
    let n_at_once = backbone.budget().get();
    let length = backbone.n_positions().min(n_at_once);
    let document = Document {
        prompt: vec![Token::Item(0)],
        main: vec![Token::Word(0); length - 1],
    };
    let documents = vec![document; n_at_once.div_ceil(length)];
    compute(backbone, own, None, &content::objective(&documents)).map(drop)
}
