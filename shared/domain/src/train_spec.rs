//! What a training job is to do. The defaults train the shipped example in
//! minutes on two cores.
//!
//! A specification is read from stored jobs and models too, so it ignores
//! fields that it does not know; [`crate::strict`] refuses them in what people
//! write.

/// The fields by their paths.
mod fields;
/// What the two stages of training are to do.
mod stages;

use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::field::{Invalid, Violation, at_most, counted, in_range};
use crate::ids::{DatasetId, Label, ModelVersion};
use crate::stage::MAX_EPOCHS;

pub use stages::{Finetuning, Pretraining, Target};

/// A training job's specification (paper, section 4; REFERENCE names in each
/// field).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// The data set to train on.
    pub dataset: DatasetId,
    /// Every random choice follows from it: the same spec and seed give
    /// bit-identical tables.
    #[serde(default)]
    pub seed: u64,
    /// The frozen language model.
    #[serde(default)]
    pub backbone: Backbone,
    /// The version whose rows and choices are the start, for users and items
    /// that it knows; absent: everything is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from: Option<ModelVersion>,
    /// How the user and item tables start.
    #[serde(default)]
    pub init: TableInit,
    /// Singular vectors of a spectral start; 0: as many as rank the validation
    /// split best by themselves.
    #[serde(default)]
    pub spectral_rank: usize,
    /// Whether the items' texts are read, and how much they count. Absent in
    /// what was stored before texts were read; who writes a specification by
    /// hand gets the default ([`Reading::default`]).
    #[serde(
        default = "Reading::none",
        skip_serializing_if = "Reading::is_none"
    )]
    pub reading: Reading,
    /// Items that a step's item softmax is over beside its targets, drawn anew
    /// for each step with a correction for their chance; 0: the whole
    /// catalogue. For catalogues of more than some 100,000 items; no teacher is
    /// asked then.
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
    /// How often the job may fail by what it meets itself. Lost workers and what
    /// is out of reach for a while have budgets of their own.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u32,
}

fn default_max_attempts() -> u32 {
    3
}

/// Which rows a step moves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Those with a gradient: a step costs what its batch costs.
    #[default]
    Lazy,
    /// All, as published: moments decay and move rows without a gradient too.
    Dense,
}

/// How the user and item tables start.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TableInit {
    /// N(0, 0.02²), as published.
    Normal,
    /// Singular vectors of the degree-normalised training interactions, scaled
    /// to the size of `Normal`.
    #[default]
    Spectral,
}

/// Whether the items' texts are read where rows start and in the light model:
/// titles, categories, attributes, descriptions and the reviews of training
/// interactions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// What is read of them.
    pub texts: ReadTexts,
    /// How much a text's likeness counts beside an interaction in EASE, β; 0:
    /// what ranks the validation split best.
    pub light_strength: f64,
    /// How much the texts count beside the interactions in a spectral start, γ;
    /// 0: what ranks the validation split best.
    pub start_strength: f64,
}

/// What is read of the items' texts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ReadTexts {
    /// Nothing: items are known by who took them.
    None,
    /// Their words, rarer ones counting more.
    #[default]
    Words,
}

/// What items without a training interaction are ranked by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ColdItems {
    /// Their rows as training left them.
    Rows,
    /// Rows made from their texts by what the other items' texts and rows have
    /// in common; as training left them where the job reads no texts.
    #[default]
    Text,
}

/// A light model beside the language model; their standardised scores are
/// mixed, with the weight that is best on validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hybrid {
    /// Which light model it is, if any.
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

/// Which light model stands beside the language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// No light model: the language model ranks alone.
    None,
    /// EASE's item-to-item weights, for catalogues of up to 10,000 items;
    /// beyond, the language model ranks alone.
    Ease,
}

/// How the model is chosen and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Validate after every so many finetuning epochs.
    pub every: usize,
    /// Stop after this many validations without a better sum of the three
    /// metrics; 0: never.
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
    /// No simpler method is measured.
    None,
    /// The list of the most popular items.
    Popularity,
    /// Popularity and, for catalogues of up to 10,000 items, item-kNN and EASE.
    All,
}

/// Epochs of each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Epochs of a random backbone before it is frozen.
    pub warmup: usize,
    /// Epochs of the content LM.
    pub content: usize,
    /// Epochs of the collaborative LM.
    pub collaborative: usize,
    /// Epochs of finetuning for ranking.
    pub finetuning: usize,
}

/// Largest catalogue that item-kNN and EASE are computed for: both may hold
/// every pair of items.
pub const MAX_LIGHT_ITEMS: usize = 10_000;

impl TrainSpec {
    /// True when EASE is needed: as a baseline, a teacher or a partner.
    pub fn wants_ease(&self) -> bool {
        let as_teacher =
            self.finetuning.distilled_share > 0.0 && self.finetuning.epochs > 0;
        as_teacher
            || self.hybrid.light == Light::Ease
            || self.evaluation.baselines == Baselines::All
    }

    /// True when the measured model is fitted once more on all interactions,
    /// where any are held out.
    pub fn fits_finally(&self) -> bool {
        let default = !self.labels.is_empty();
        self.finetuning.final_fit.unwrap_or(default)
    }

    /// Counts the epochs of each stage, if none is left out by early stopping.
    pub fn n_epochs(&self) -> Epochs {
        let (pretraining, finetuning) = (&self.pretraining, &self.finetuning);
        let mut content = pretraining.content_epochs;
        if pretraining.with_content {
            content += pretraining.epochs;
        }

        if finetuning.with_content {
            content += finetuning.epochs;
        }

        Epochs {
            warmup: match &self.backbone {
                Backbone::Random(shape) => shape.warmup_epochs,
                Backbone::Path(_) => 0,
            },
            content,
            collaborative: pretraining.epochs,
            finetuning: finetuning.epochs,
        }
    }

    /// Fills in the defaults for a job on `dataset`.
    pub fn new(dataset: DatasetId) -> Self {
        Self {
            dataset,
            seed: 0,
            backbone: Backbone::default(),
            start_from: None,
            init: TableInit::default(),
            spectral_rank: 0,
            reading: Reading::default(),
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

    /// Checks every number against what a worker can do; all that is wrong is
    /// reported at once.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut wrong = Vec::new();
        self.backbone.check(&mut wrong);
        self.check_start(&mut wrong);
        self.pretraining.check(&mut wrong);
        self.finetuning.check(&mut wrong);
        at_most(&mut wrong, "spectral_rank", self.spectral_rank, MAX_RANK);
        self.reading.check(&mut wrong);
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

impl TrainSpec {
    /// Rows of an earlier version belong to its backbone, which a warm-up would
    /// change.
    fn check_start(&self, wrong: &mut Vec<Violation>) {
        if let Backbone::Random(shape) = &self.backbone
            && shape.warmup_epochs > 0
            && self.start_from.is_some()
        {
            wrong.push(Violation::new(
                "backbone.random.warmup_epochs",
                "a backbone that is warmed up anew is not the one of `start_from`: such a version cannot be started from",
            ));
        }
    }
}

impl Reading {
    /// No text is read.
    fn none() -> Self {
        Self {
            texts: ReadTexts::None,
            ..Self::default()
        }
    }

    fn is_none(&self) -> bool {
        *self == Self::none()
    }

    fn check(&self, wrong: &mut Vec<Violation>) {
        let strengths = 0.0..=1e6;
        let light = self.light_strength;
        in_range(wrong, "reading.light_strength", light, strengths.clone());
        let start = self.start_strength;
        in_range(wrong, "reading.start_strength", start, strengths);
        let is_set = self.light_strength > 0.0 || self.start_strength > 0.0;
        if self.texts == ReadTexts::None && is_set {
            wrong.push(Violation::new(
                "reading.texts",
                "no text is read, so that a strength has no effect",
            ));
        }
    }
}

/// Most singular vectors of a spectral start.
const MAX_RANK: usize = 128;
/// Most items of a sampled softmax: a million rows are a step's memory.
const MAX_SAMPLED: usize = 1_000_000;
/// Most weights that an item of a light model keeps.
const MAX_KEPT: usize = 10_000;
/// How often a job may fail at most before it ends.
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
