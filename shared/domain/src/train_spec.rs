//! What a training job is to do. The defaults train the shipped example in minutes on two cores.

use serde::{Deserialize, Serialize};

use crate::field::{at_most, counted, in_range};
use crate::{Backbone, DatasetId, Invalid, Label, Violation};

/// A training job's specification (paper, section 4; REFERENCE names in each field).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// What to train on.
    pub dataset: DatasetId,
    /// Every random choice follows from it: the same spec and seed give bit-identical tables.
    #[serde(default)]
    pub seed: u64,
    /// The frozen language model.
    #[serde(default)]
    pub backbone: Backbone,
    /// How the user and item tables start.
    #[serde(default)]
    pub init: TableInit,
    /// Singular vectors of a spectral start; 0: as many as rank the validation split best by
    /// themselves.
    #[serde(default)]
    pub spectral_rank: usize,
    /// Items that a step's item softmax is over beside its targets, drawn anew for each step with a
    /// correction for their chance; 0: the whole catalogue. For catalogues of more than some
    /// 100,000 items; no teacher is asked then.
    #[serde(default)]
    pub n_sampled_items: usize,
    /// Which rows a step moves.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Stage 1: mutually-regularised pretraining.
    #[serde(default)]
    pub pretraining: Pretraining,
    /// Stage 2: recommendation-oriented finetuning.
    #[serde(default)]
    pub finetuning: Finetuning,
    /// What items that nobody has interacted with are ranked by.
    #[serde(default)]
    pub cold_items: ColdItems,
    /// A light model beside the language model.
    #[serde(default)]
    pub hybrid: Hybrid,
    /// How the model is chosen and measured.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// Labels that move to the new version when the job succeeds.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// How often the job may be started in all, when workers are lost.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u32,
}

fn default_max_attempts() -> u32 {
    3
}

/// Which rows a step moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Those with a gradient: a step costs what its batch costs.
    #[default]
    Lazy,
    /// All, as published: moments decay and move rows without a gradient too.
    Dense,
}

/// How the user and item tables start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableInit {
    /// N(0, 0.02²), as published.
    Normal,
    /// Singular vectors of the degree-normalised training interactions, scaled to the size of
    /// `Normal`.
    #[default]
    Spectral,
}

/// Stage 1: content LM and collaborative LM, each pulled to the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pretraining {
    /// Epochs of the content LM alone, before the alternation (published: 10).
    pub content_epochs: usize,
    /// Epochs of both, alternating (published: 100).
    pub epochs: usize,
    /// Documents a step.
    pub batch: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Mutual regularisation λ: summed over the batch's user and item tokens, not averaged.
    pub lambda: f64,
    /// Prior on the collaborative tables, λ_l / 2 ‖z‖² (paper; absent from the published code).
    pub lambda_l: f64,
    /// The content LM takes part in the alternation, as published.
    pub with_content: bool,
    /// Shuffle histories every epoch (histories are sets).
    pub random_order: bool,
    /// Texts are cut at this many tokens, or earlier where the backbone's positions end.
    pub max_text_tokens: usize,
    /// At most this many documents, drawn anew, in an epoch of the content LM; 0: all of them.
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
#[serde(default, deny_unknown_fields)]
pub struct Finetuning {
    /// Most epochs; early stopping may end sooner (published: 150).
    pub epochs: usize,
    /// Users a step.
    pub batch: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Mutual regularisation λ; weaker than in pretraining (docs/quality.md has the curve).
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
    /// Leave the user token out of the training prompts; which token serves is chosen on
    /// validation.
    pub without_user_token: bool,
    /// Share of the loss that asks for EASE's distribution over the catalogue instead of the
    /// targets (published: 0); none of it for catalogues of more than 10,000 items.
    pub distilled_share: f64,
    /// EASE's standardised scores count this much in that distribution's softmax.
    pub teacher_sharpness: f64,
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

/// What items without a training interaction are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdItems {
    /// Their rows as training left them.
    Rows,
    /// Rows made from their texts by what the other items' texts and rows have in common.
    #[default]
    Text,
}

/// A light model beside the language model; their standardised scores are mixed, with the weight
/// that is best on validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hybrid {
    /// Which one.
    pub light: Light,
    /// Its largest weights that each item keeps.
    pub n_kept: usize,
}

impl Default for Hybrid {
    fn default() -> Self {
        Self {
            light: Light::Ease,
            n_kept: 400,
        }
    }
}

/// Light models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// None: the language model ranks alone.
    None,
    /// EASE's item-to-item weights, for catalogues of up to 10,000 items; beyond, the language
    /// model ranks alone.
    Ease,
}

/// How the model is chosen and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluation {
    /// Validate after every so many finetuning epochs.
    pub every: usize,
    /// Stop after this many validations without a better sum of the three metrics; 0: never.
    pub patience: usize,
    /// Which simpler methods to report beside the model.
    pub baselines: Baselines,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            every: 1,
            patience: 3,
            baselines: Baselines::All,
        }
    }
}

/// Simpler methods, measured on the same split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baselines {
    /// None.
    None,
    /// Popularity.
    Popularity,
    /// Popularity and, for catalogues of up to 10,000 items, item-kNN and EASE.
    All,
}

/// Epochs of each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Of a random backbone.
    pub warmup: usize,
    /// Of the content LM.
    pub content: usize,
    /// Of the collaborative LM.
    pub collaborative: usize,
    /// For ranking.
    pub finetuning: usize,
}

/// Largest catalogue that item-kNN and EASE are computed for: both may hold every pair of items.
pub const MAX_LIGHT_ITEMS: usize = 10_000;

impl TrainSpec {
    /// EASE is needed: as a baseline, a teacher or a partner.
    pub fn wants_ease(&self) -> bool {
        let as_teacher = self.finetuning.distilled_share > 0.0 && self.finetuning.epochs > 0;
        as_teacher
            || self.hybrid.light == Light::Ease
            || self.evaluation.baselines == Baselines::All
    }

    /// Epochs of each stage, if none is left out by early stopping.
    pub fn n_epochs(&self) -> Epochs {
        let (pretraining, finetuning) = (&self.pretraining, &self.finetuning);
        let beside = |with_content: bool, n: usize| if with_content { n } else { 0 };
        Epochs {
            warmup: match &self.backbone {
                Backbone::Random(shape) => shape.warmup_epochs,
                Backbone::Path(_) => 0,
            },
            content: pretraining.content_epochs
                + beside(pretraining.with_content, pretraining.epochs)
                + beside(finetuning.with_content, finetuning.epochs),
            collaborative: pretraining.epochs,
            finetuning: finetuning.epochs,
        }
    }

    /// The default job on `dataset`.
    pub fn new(dataset: DatasetId) -> Self {
        Self {
            dataset,
            seed: 0,
            backbone: Backbone::default(),
            init: TableInit::default(),
            spectral_rank: 0,
            n_sampled_items: 0,
            optimizer: Optimizer::default(),
            pretraining: Pretraining::default(),
            finetuning: Finetuning::default(),
            cold_items: ColdItems::default(),
            hybrid: Hybrid::default(),
            evaluation: Evaluation::default(),
            labels: Vec::new(),
            max_attempts: default_max_attempts(),
        }
    }

    /// Checks every number against what a worker can do; all that is wrong is reported at once.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut wrong = Vec::new();
        self.backbone.check(&mut wrong);
        self.pretraining.check(&mut wrong);
        self.finetuning.check(&mut wrong);
        at_most(&mut wrong, "spectral_rank", self.spectral_rank, MAX_RANK);
        at_most(
            &mut wrong,
            "n_sampled_items",
            self.n_sampled_items,
            MAX_SAMPLED,
        );
        counted(&mut wrong, "hybrid.n_kept", self.hybrid.n_kept, MAX_KEPT);
        counted(
            &mut wrong,
            "evaluation.every",
            self.evaluation.every,
            MAX_EPOCHS,
        );
        counted(
            &mut wrong,
            "max_attempts",
            self.max_attempts as usize,
            MAX_ATTEMPTS,
        );
        Invalid::check(wrong)
    }
}

impl Pretraining {
    fn check(&self, wrong: &mut Vec<Violation>) {
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
            (1e-9, 1.0),
        );
        in_range(wrong, "pretraining.lambda", self.lambda, (0.0, 1e6));
        in_range(wrong, "pretraining.lambda_l", self.lambda_l, (0.0, 1e6));
        if self.max_text_tokens < 2 {
            wrong.push(Violation::new(
                "pretraining.max_text_tokens",
                "must be at least 2: one token predicts the next",
            ));
        }
    }
}

impl Finetuning {
    fn check(&self, wrong: &mut Vec<Violation>) {
        at_most(wrong, "finetuning.epochs", self.epochs, MAX_EPOCHS);
        counted(wrong, "finetuning.batch", self.batch, MAX_BATCH);
        in_range(
            wrong,
            "finetuning.learning_rate",
            self.learning_rate,
            (1e-9, 1.0),
        );
        in_range(wrong, "finetuning.lambda", self.lambda, (0.0, 1e6));
        in_range(
            wrong,
            "finetuning.hidden_share",
            self.hidden_share,
            (0.0, 1.0),
        );
        in_range(wrong, "finetuning.dropout", self.dropout, (0.0, 0.95));
        in_range(
            wrong,
            "finetuning.logit_scale",
            self.logit_scale,
            (1e-6, 1e6),
        );
        in_range(
            wrong,
            "finetuning.distilled_share",
            self.distilled_share,
            (0.0, 1.0),
        );
        in_range(
            wrong,
            "finetuning.teacher_sharpness",
            self.teacher_sharpness,
            (0.0, 100.0),
        );
    }
}

/// Most epochs of a stage: a plan is held in memory.
pub(crate) const MAX_EPOCHS: usize = 10_000;
/// Most documents or users a step: a batch is held in memory.
const MAX_BATCH: usize = 4_096;
/// Most singular vectors of a spectral start.
const MAX_RANK: usize = 128;
/// Most items of a sampled softmax: a million rows are a step's memory.
const MAX_SAMPLED: usize = 1_000_000;
/// Most weights that an item of a light model keeps.
const MAX_KEPT: usize = 10_000;
/// Most failed attempts.
const MAX_ATTEMPTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TrainSpec {
        TrainSpec::new(DatasetId::new("d").unwrap())
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(spec().validate(), Ok(()));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut spec = spec();
        spec.finetuning.batch = 0;
        spec.finetuning.epochs = 1_000_000;
        spec.pretraining.learning_rate = f64::NAN;
        let fields: Vec<String> = spec
            .validate()
            .unwrap_err()
            .0
            .into_iter()
            .map(|v| v.field)
            .collect();
        assert_eq!(
            fields,
            [
                "pretraining.learning_rate",
                "finetuning.epochs",
                "finetuning.batch"
            ]
        );
    }
}
