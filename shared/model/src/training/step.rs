//! One training step: an objective's loss and the gradients of the rows it
//! touches.

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
use crate::training::loss::{cross_entropy, sum};
use crate::training::objective::{Head, Objective};
use crate::training::regularizer::{Occurrences, Pull, Pulled, regularize};
use crate::training::softmax::Softmax;

/// Loss and gradients of one step.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The loss: cross-entropy plus regulariser.
    pub loss: f64,
    /// The cross-entropy without the regulariser.
    pub cross_entropy: f64,
    /// The regulariser without λ: `Σ_positions ‖z − z_other‖²`.
    pub regularizer: f64,
    /// How many tokens went through the backbone.
    pub n_tokens: usize,
    /// How many logits the softmax had.
    pub n_logits: usize,
    /// The gradients of the user table.
    pub users: RowGradients,
    /// The gradients of the item table.
    pub items: RowGradients,
}

/// Computes an objective's loss and gradients with respect to `own` (paper,
/// eqs. 5 to 9).
///
/// A batch without a predicted token has loss 0 and no gradients. A loss that
/// is not finite is an error.
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
    let documents = &objective.documents;
    let mut step = backbone.budget().fit(|n_at_once| {
        let mut pass = Pass::new(backbone, own, objective);
        for documents in parts(documents, n_at_once) {
            pass.add(documents);
        }
        pass.step()
    })?;

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
fn add_regularizer(
    step: &mut Step,
    own: &TokenTables,
    pull: &Pull<'_>,
    objective: &Objective,
) {
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
    let norm = users.norm + items.norm;
    step.loss += pull.lambda * step.regularizer + pull.prior / 2.0 * norm;
}

/// The documents of an objective on their way through the backbone and back,
/// some at a time.
struct Pass<'a> {
    backbone: &'a Backbone,
    own: &'a TokenTables,
    objective: &'a Objective,
    softmax: Softmax<'a>,
    mask: Option<ItemMask>,
    totals: Totals,
}

/// The sums over the documents that went through so far.
struct Totals {
    loss: f64,
    n_tokens: usize,
    n_logits: usize,
    /// How many positions were read.
    n_read: usize,
    /// Gradient of the head's rows `[classes, embed]`, where the head is
    /// learned.
    head: Option<Tensor<2>>,
    soft: SoftGradients,
}

impl<'a> Pass<'a> {
    fn new(
        backbone: &'a Backbone,
        own: &'a TokenTables,
        objective: &'a Objective,
    ) -> Self {
        let width = own.items.width();
        let mut tokens = Vec::with_capacity(objective.n_tokens());
        for document in &objective.documents {
            tokens.extend_from_slice(&document.tokens);
        }
        let mask = match &objective.dropout {
            Some(dropout) if dropout.share > 0.0 => {
                let mask = ItemMask::new(&tokens, width, dropout);
                Some(mask)
            }
            _ => None,
        };
        Self {
            backbone,
            own,
            objective,
            softmax: objective.softmax(backbone, own, Head::Items),
            mask,
            totals: Totals {
                loss: 0.0,
                n_tokens: 0,
                n_logits: 0,
                n_read: 0,
                head: None,
                soft: SoftGradients::zeros(&tokens, width),
            },
        }
    }

    /// Adds the cross-entropy of some documents and its gradients.
    fn add(&mut self, documents: &[Reading]) {
        let backbone = self.backbone;
        let device = backbone.device();
        let totals = &mut self.totals;
        let batch = TokenBatch::new(documents, backbone);
        let embeddings = embed(backbone, self.own, &batch, self.mask.as_ref());
        let (hidden, kept) = backbone.forward_kept(embeddings, &batch.layout);

        let read = totals.n_read..totals.n_read + hidden.dims()[0];
        totals.n_read = read.end;
        let ce = cross_entropy(&self.softmax, &hidden, read);
        totals.loss += ce.loss;
        totals.n_tokens += batch.n_tokens;
        totals.n_logits += ce.n_logits;
        totals.head = sum(totals.head.take(), ce.d_head);

        if !batch.soft.is_empty() {
            let rows = batch.soft.iter().map(|&(row, _)| to_index(row));
            let rows = index_tensor(rows.collect(), &device);
            let gradients = backbone.backward(kept, ce.d_hidden, &rows); // [soft, embed]
            let width = self.own.items.width();
            totals.soft.add(&batch, &to_vec(gradients), width);
        }
    }

    /// The sums as a step. Items get gradients as tokens of the prompts and,
    /// where the head is learned, as classes of the softmax.
    fn step(self) -> Step {
        let totals = self.totals;
        let soft = totals.soft.masked(self.mask.as_ref());
        let SoftGradients { users, mut items } = soft;

        if let Some(head) = totals.head {
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
            loss: totals.loss,
            cross_entropy: totals.loss,
            regularizer: 0.0,
            n_tokens: totals.n_tokens,
            n_logits: totals.n_logits,
            users,
            items,
        }
    }
}

/// Takes as much of the device's memory as a step can need, so that it is known
/// to be there before the work begins and stays with this process: allocators
/// of cards keep what they had.
pub fn rehearse(backbone: &Backbone, own: &TokenTables) -> Result<(), Error> {
    let n_at_once = backbone.budget().get();
    let length = backbone.n_positions().min(n_at_once);
    let document = Document {
        prompt: vec![Token::Item(0)],
        main: vec![Token::Word(0); length - 1],
    };
    let documents = vec![document; n_at_once.div_ceil(length)];
    let objective = content::objective(&documents);
    compute(backbone, own, None, &objective)?;
    Ok(())
}
