//! What a training job is to do. The defaults train the shipped example in minutes on two cores.

use serde::{Deserialize, Serialize};

use crate::{DatasetId, Invalid, Label, Violation};

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
    /// Singular vectors of a spectral start; 0: as many as rank the validation split best by themselves.
    #[serde(default)]
    pub spectral_rank: usize,
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

/// The GPT-2 that stays frozen behind the tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Backbone {
    /// A [`BackboneLocation`] with `config.json` and `model.safetensors`, whole or in shards.
    Path(String),
    /// Random weights of a given shape.
    Random(RandomBackbone),
}

impl Default for Backbone {
    fn default() -> Self {
        Self::Random(RandomBackbone::default())
    }
}

/// A backbone without pretrained weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomBackbone {
    /// Embedding width.
    pub n_embd: usize,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Attention heads; divides `n_embd`.
    pub n_head: usize,
    /// Longest prompt and main text together.
    pub n_positions: usize,
    /// Of the weights; independent of the job's seed, so that jobs can share a backbone.
    pub seed: u64,
    /// How the value and output projections start.
    pub value_path: ValuePath,
    /// Epochs as a plain language and item-sequence model before it is frozen.
    pub warmup_epochs: usize,
}

impl Default for RandomBackbone {
    fn default() -> Self {
        Self {
            n_embd: 256,
            n_layer: 1,
            n_head: 4,
            n_positions: 512,
            seed: 0,
            value_path: ValuePath::NearIdentity,
            warmup_epochs: 0,
        }
    }
}

/// How a random backbone's attention hands content on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValuePath {
    /// N(0, 0.02²), as GPT-2 is initialised.
    Random,
    /// The identity plus noise, so that the prompt's items reach the last token unscrambled.
    NearIdentity,
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
    /// Singular vectors of the degree-normalised training interactions, scaled to the size of `Normal`.
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
    /// Leave the user token out of the training prompts; which token serves is chosen on validation.
    pub without_user_token: bool,
    /// Share of the loss that asks for EASE's distribution over the catalogue instead of the targets (published: 0); none
    /// of it for catalogues of more than 10,000 items.
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

/// A light model beside the language model; their standardised scores are mixed, with the weight that is best on
/// validation.
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
        Self { light: Light::Ease, n_kept: 400 }
    }
}

/// Light models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// None: the language model ranks alone.
    None,
    /// EASE's item-to-item weights, for catalogues of up to 10,000 items; beyond, the language model ranks alone.
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
        Self { every: 1, patience: 3, baselines: Baselines::All }
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

/// Largest catalogue that item-kNN and EASE are computed for: both may hold every pair of items.
pub const MAX_LIGHT_ITEMS: usize = 10_000;

impl TrainSpec {
    /// EASE is needed: as a baseline, a teacher or a partner.
    pub fn wants_ease(&self) -> bool {
        let as_teacher = self.finetuning.distilled_share > 0.0 && self.finetuning.epochs > 0;
        as_teacher || self.hybrid.light == Light::Ease || self.evaluation.baselines == Baselines::All
    }

    /// The default job on `dataset`.
    pub fn new(dataset: DatasetId) -> Self {
        Self {
            dataset,
            seed: 0,
            backbone: Backbone::default(),
            init: TableInit::default(),
            spectral_rank: 0,
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
        match &self.backbone {
            Backbone::Path(location) => {
                wrong.extend(
                    BackboneLocation::new(location).err().into_iter().flat_map(|bad| bad.under("backbone.path").0),
                );
            }
            Backbone::Random(shape) => shape.check(&mut wrong),
        }
        self.pretraining.check(&mut wrong);
        self.finetuning.check(&mut wrong);
        at_most(&mut wrong, "spectral_rank", self.spectral_rank, MAX_RANK);
        counted(&mut wrong, "hybrid.n_kept", self.hybrid.n_kept, MAX_KEPT);
        counted(&mut wrong, "evaluation.every", self.evaluation.every, MAX_EPOCHS);
        counted(&mut wrong, "max_attempts", self.max_attempts as usize, MAX_ATTEMPTS);
        Invalid::check(wrong)
    }
}

impl RandomBackbone {
    fn check(&self, wrong: &mut Vec<Violation>) {
        for (field, value, most) in [
            ("n_embd", self.n_embd, 4096),
            ("n_layer", self.n_layer, 96),
            ("n_head", self.n_head, 128),
            ("n_positions", self.n_positions, 8192),
        ] {
            if value == 0 || value > most {
                wrong.push(Violation::new(
                    format!("backbone.random.{field}"),
                    format!("must be 1 to {most}, is {value}"),
                ));
            }
        }
        if self.n_head != 0 && !self.n_embd.is_multiple_of(self.n_head) {
            let reason = format!("must divide n_embd = {}, is {}", self.n_embd, self.n_head);
            wrong.push(Violation::new("backbone.random.n_head", reason));
        }
        at_most(wrong, "backbone.random.warmup_epochs", self.warmup_epochs, MAX_EPOCHS);
        if self.n_layer.saturating_mul(self.n_embd).saturating_mul(self.n_embd) > MAX_SQUARES {
            let reason = format!("n_layer · n_embd² must be at most {MAX_SQUARES} (GPT-2 XL has 123 million)");
            wrong.push(Violation::new("backbone.random.n_embd", reason));
        }
        if self.n_positions < MIN_POSITIONS {
            let reason = format!("must leave room for a prompt: at least {MIN_POSITIONS}, is {}", self.n_positions);
            wrong.push(Violation::new("backbone.random.n_positions", reason));
        }
    }
}

/// A recommendation prompt has ten tokens besides the history's, and room for an item or two.
pub const MIN_POSITIONS: usize = 12;

impl Pretraining {
    fn check(&self, wrong: &mut Vec<Violation>) {
        at_most(wrong, "pretraining.content_epochs", self.content_epochs, MAX_EPOCHS);
        at_most(wrong, "pretraining.epochs", self.epochs, MAX_EPOCHS);
        counted(wrong, "pretraining.batch", self.batch, MAX_BATCH);
        in_range(wrong, "pretraining.learning_rate", self.learning_rate, (1e-9, 1.0));
        in_range(wrong, "pretraining.lambda", self.lambda, (0.0, 1e6));
        in_range(wrong, "pretraining.lambda_l", self.lambda_l, (0.0, 1e6));
        if self.max_text_tokens < 2 {
            wrong
                .push(Violation::new("pretraining.max_text_tokens", "must be at least 2: one token predicts the next"));
        }
    }
}

impl Finetuning {
    fn check(&self, wrong: &mut Vec<Violation>) {
        at_most(wrong, "finetuning.epochs", self.epochs, MAX_EPOCHS);
        counted(wrong, "finetuning.batch", self.batch, MAX_BATCH);
        in_range(wrong, "finetuning.learning_rate", self.learning_rate, (1e-9, 1.0));
        in_range(wrong, "finetuning.lambda", self.lambda, (0.0, 1e6));
        in_range(wrong, "finetuning.hidden_share", self.hidden_share, (0.0, 1.0));
        in_range(wrong, "finetuning.dropout", self.dropout, (0.0, 0.95));
        in_range(wrong, "finetuning.logit_scale", self.logit_scale, (1e-6, 1e6));
        in_range(wrong, "finetuning.distilled_share", self.distilled_share, (0.0, 1.0));
        in_range(wrong, "finetuning.teacher_sharpness", self.teacher_sharpness, (0.0, 100.0));
    }
}

/// Most epochs of a stage: a plan is held in memory.
const MAX_EPOCHS: usize = 10_000;
/// Most documents or users a step: a batch is held in memory.
const MAX_BATCH: usize = 4_096;
/// Most singular vectors of a spectral start.
const MAX_RANK: usize = 128;
/// Most weights that an item of a light model keeps.
const MAX_KEPT: usize = 10_000;
/// Most failed attempts.
const MAX_ATTEMPTS: usize = 100;
/// Most `n_layer · n_embd²` of a random backbone: 12 times that are its weights.
const MAX_SQUARES: usize = 130_000_000;

/// 1 to `most`.
fn counted(wrong: &mut Vec<Violation>, field: &str, value: usize, most: usize) {
    if value == 0 || value > most {
        wrong.push(Violation::new(field, format!("must be 1 to {most}, is {value}")));
    }
}

/// 0 to `most`.
fn at_most(wrong: &mut Vec<Violation>, field: &str, value: usize, most: usize) {
    if value > most {
        wrong.push(Violation::new(field, format!("must be at most {most}, is {value}")));
    }
}

fn in_range(wrong: &mut Vec<Violation>, field: &str, value: f64, (least, most): (f64, f64)) {
    if !(least..=most).contains(&value) {
        wrong.push(Violation::new(field, format!("must be {least} to {most}, is {value}")));
    }
}

/// Where a backbone's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackboneLocation {
    /// A folder below the worker's backbone root.
    Folder(String),
    /// `artifact://ID`: a backbone of the artifact store.
    Artifact(String),
    /// `hf://OWNER/NAME@REVISION`: a repository of the hub.
    Hub {
        /// `OWNER/NAME`.
        repo: String,
        /// A tag, branch or commit; a commit never changes.
        revision: String,
    },
}

impl BackboneLocation {
    /// Reads a location; nothing that leads out of the configured root, and no other scheme.
    pub fn new(location: &str) -> Result<Self, Invalid> {
        let is_plain = |part: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
        };
        if let Some(id) = location.strip_prefix("artifact://").filter(|id| is_plain(id)) {
            return Ok(Self::Artifact(id.to_owned()));
        }
        if let Some((repo, revision)) = location.strip_prefix("hf://").and_then(|rest| rest.split_once('@'))
            && is_plain(revision)
            && repo.split('/').count() <= 2
            && repo.split('/').all(is_plain)
        {
            return Ok(Self::Hub { repo: repo.to_owned(), revision: revision.to_owned() });
        }
        if location.split('/').all(is_plain) {
            return Ok(Self::Folder(location.to_owned()));
        }
        Err(Invalid::one(
            "",
            format!(
                "`{location}` must be a relative path below the worker's backbone root without `..`, \
                 artifact://ID or hf://OWNER/NAME@REVISION"
            ),
        ))
    }
}

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
        let fields: Vec<String> = spec.validate().unwrap_err().0.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["pretraining.learning_rate", "finetuning.epochs", "finetuning.batch"]);
    }

    #[test]
    fn a_backbone_outside_the_root_is_refused() {
        for bad in [
            "../gpt2",
            "/etc",
            "http://host/gpt2",
            "a/../../b",
            "",
            "a//b",
            ".",
            "hf://gpt2",
            "hf://../x@main",
            "artifact://a/b",
        ] {
            let spec = TrainSpec { backbone: Backbone::Path(bad.to_owned()), ..spec() };
            assert!(spec.validate().is_err(), "{bad}");
        }
        for good in ["openai/gpt2", "artifact://0a1b", "hf://openai-community/gpt2@main", "hf://gpt2@607a30d"] {
            let spec = TrainSpec { backbone: Backbone::Path(good.to_owned()), ..spec() };
            assert!(spec.validate().is_ok(), "{good}");
        }
    }
}
