//! What the two stages of training are to do, each with the defaults of the
//! shipped example.

use serde::{Deserialize, Serialize};

use crate::field::{Violation, at_most, counted, in_range};
use crate::stage::MAX_EPOCHS;

/// Stage 1: content LM and collaborative LM, each pulled to the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pretraining {
    /// Epochs of the content LM alone, before the alternation (published: 10).
    pub content_epochs: usize,
    /// Epochs of both, alternating (published: 100).
    pub epochs: usize,
    /// How many documents a step reads.
    pub batch: usize,
    /// Step size of the optimizer Adam.
    pub learning_rate: f64,
    /// Mutual regularisation λ: summed over the batch's user and item tokens,
    /// not averaged.
    pub lambda: f64,
    /// Prior on the collaborative tables, λ_l / 2 ‖z‖² (paper; absent from the
    /// published code).
    pub lambda_l: f64,
    /// The content LM takes part in the alternation, as published.
    pub with_content: bool,
    /// Shuffle histories every epoch (histories are sets).
    pub random_order: bool,
    /// Texts are cut at this many tokens, or earlier where the backbone's
    /// positions end.
    pub max_text_tokens: usize,
    /// At most this many documents, drawn anew, in an epoch of the content LM;
    /// 0: all of them.
    pub documents_per_epoch: usize,
}

impl Default for Pretraining {
    fn default() -> Self {
        Self {
            content_epochs: 1,
            epochs: 1,
            batch: 20,
            learning_rate: 2e-4,
            lambda: 1.0,
            lambda_l: 0.0,
            with_content: true,
            random_order: true,
            max_text_tokens: 64,
            documents_per_epoch: 500,
        }
    }
}

/// Stage 2: one forward pass ranks the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finetuning {
    /// Most epochs; early stopping may end sooner (published: 150).
    pub epochs: usize,
    /// How many users a step reads.
    pub batch: usize,
    /// Step size of the optimizer Adam.
    pub learning_rate: f64,
    /// Mutual regularisation λ; weaker than in pretraining (docs/quality.md has
    /// the curve).
    pub lambda: f64,
    /// Share of the history that is hidden from the prompt, at least one item.
    pub hidden_share: f64,
    /// What the loss asks for.
    pub target: Target,
    /// Go on with the content LM in every epoch, as published.
    pub with_content: bool,
    /// Share of an item row's entries that are dropped while finetuning.
    pub dropout: f64,
    /// The item softmax sees scores times this (published: 1).
    pub logit_scale: f64,
    /// Leave the user token out of the training prompts; which token serves is
    /// chosen on validation.
    pub without_user_token: bool,
    /// Share of the loss that asks for EASE's distribution over the catalogue
    /// instead of the targets (published: 0); none of it for catalogues of more
    /// than 10,000 items.
    pub distilled_share: f64,
    /// EASE's standardised scores count this much in that distribution's
    /// softmax.
    pub teacher_sharpness: f64,
    /// Once it is measured, fit the model once more on all interactions, those
    /// of the validation and test splits too, with everything as validation
    /// chose it. Absent: where the job moves a label, since customers are
    /// served then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_fit: Option<bool>,
}

impl Default for Finetuning {
    fn default() -> Self {
        Self {
            epochs: 12,
            batch: 20,
            learning_rate: 2e-4,
            lambda: 0.01,
            hidden_share: 0.2,
            target: Target::All,
            with_content: false,
            dropout: 0.3,
            logit_scale: 1.0,
            without_user_token: true,
            distilled_share: 0.5,
            teacher_sharpness: 0.5,
            final_fit: None,
        }
    }
}

/// What the finetuning loss asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The whole history, as the published code does.
    All,
    /// Its hidden part, as the paper says.
    Hidden,
}

impl Pretraining {
    pub(crate) fn check(&self, wrong: &mut Vec<Violation>) {
        at_most(
            wrong,
            "pretraining.content_epochs",
            self.content_epochs,
            MAX_EPOCHS,
        );
        at_most(wrong, "pretraining.epochs", self.epochs, MAX_EPOCHS);
        counted(wrong, "pretraining.batch", self.batch, MAX_BATCH);
        in_range(
            wrong,
            "pretraining.learning_rate",
            self.learning_rate,
            1e-9..=1.0,
        );
        in_range(wrong, "pretraining.lambda", self.lambda, 0.0..=1e6);
        in_range(wrong, "pretraining.lambda_l", self.lambda_l, 0.0..=1e6);
        if self.max_text_tokens < 2 {
            wrong.push(Violation::new(
                "pretraining.max_text_tokens",
                "must be at least 2: one token predicts the next",
            ));
        }
    }
}

impl Finetuning {
    pub(crate) fn check(&self, wrong: &mut Vec<Violation>) {
        at_most(wrong, "finetuning.epochs", self.epochs, MAX_EPOCHS);
        counted(wrong, "finetuning.batch", self.batch, MAX_BATCH);
        in_range(
            wrong,
            "finetuning.learning_rate",
            self.learning_rate,
            1e-9..=1.0,
        );
        in_range(wrong, "finetuning.lambda", self.lambda, 0.0..=1e6);
        in_range(
            wrong,
            "finetuning.hidden_share",
            self.hidden_share,
            0.0..=1.0,
        );
        in_range(wrong, "finetuning.dropout", self.dropout, 0.0..=0.95);
        in_range(
            wrong,
            "finetuning.logit_scale",
            self.logit_scale,
            1e-6..=1e6,
        );
        in_range(
            wrong,
            "finetuning.distilled_share",
            self.distilled_share,
            0.0..=1.0,
        );
        in_range(
            wrong,
            "finetuning.teacher_sharpness",
            self.teacher_sharpness,
            0.0..=100.0,
        );
    }
}

/// Most documents or users a step: a batch is held in memory.
const MAX_BATCH: usize = 4_096;
