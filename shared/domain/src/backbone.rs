//! The frozen language model that a job names: random weights of a shape, or files at a location.

use serde::{Deserialize, Serialize};

use crate::field::at_most;
use crate::train_spec::MAX_EPOCHS;
use crate::{Invalid, Violation};

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
            let is_plain =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain)
        };
        if let Some(id) = location
            .strip_prefix("artifact://")
            .filter(|id| is_plain(id))
        {
            return Ok(Self::Artifact(id.to_owned()));
        }
        if let Some((repo, revision)) = location
            .strip_prefix("hf://")
            .and_then(|rest| rest.split_once('@'))
            && is_plain(revision)
            && repo.split('/').count() <= 2
            && repo.split('/').all(is_plain)
        {
            return Ok(Self::Hub {
                repo: repo.to_owned(),
                revision: revision.to_owned(),
            });
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

impl Backbone {
    /// Adds what is wrong, under `backbone`.
    pub(crate) fn check(&self, wrong: &mut Vec<Violation>) {
        match self {
            Self::Path(location) => {
                let bad = BackboneLocation::new(location).err().into_iter();
                wrong.extend(bad.flat_map(|bad| bad.under("backbone.path").0));
            }
            Self::Random(shape) => shape.check(wrong),
        }
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
        at_most(
            wrong,
            "backbone.random.warmup_epochs",
            self.warmup_epochs,
            MAX_EPOCHS,
        );
        if self
            .n_layer
            .saturating_mul(self.n_embd)
            .saturating_mul(self.n_embd)
            > MAX_SQUARES
        {
            let reason = format!(
                "n_layer · n_embd² must be at most {MAX_SQUARES} (GPT-2 XL has 123 million)"
            );
            wrong.push(Violation::new("backbone.random.n_embd", reason));
        }
        if self.n_positions < MIN_POSITIONS {
            let reason = format!(
                "must leave room for a prompt: at least {MIN_POSITIONS}, is {}",
                self.n_positions
            );
            wrong.push(Violation::new("backbone.random.n_positions", reason));
        }
    }
}

/// A recommendation prompt has ten tokens besides the history's, and room for an item or two.
pub const MIN_POSITIONS: usize = 12;

/// Most `n_layer · n_embd²` of a random backbone: 12 times that are its weights.
const MAX_SQUARES: usize = 130_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backbone_outside_the_root_is_refused() {
        let is_good = |location: &str| BackboneLocation::new(location).is_ok();
        let bad = [
            "../gpt2",
            "/etc",
            "http://host/gpt2",
            "a/../../b",
            "",
            "a//b",
            ".",
            "hf://gpt2",
            "hf://../x@main",
        ];
        bad.into_iter()
            .chain(["artifact://a/b", ".hidden"])
            .for_each(|bad| assert!(!is_good(bad), "{bad}"));
        let good = [
            "openai/gpt2",
            "artifact://0a1b",
            "hf://openai-community/gpt2@main",
            "hf://gpt2@607a30d",
        ];
        good.into_iter()
            .for_each(|good| assert!(is_good(good), "{good}"));
    }
}
