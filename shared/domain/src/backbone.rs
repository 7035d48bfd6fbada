//! The frozen language model that a job names: random weights of a shape, or
//! files at a location.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field::{Invalid, Violation, at_most, counted};
use crate::ids::ArtifactId;
use crate::stage::MAX_EPOCHS;

/// The language model that stays frozen behind the tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// The place of `config.json` and `model.safetensors`, whole or in shards.
    Path(BackboneLocation),
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
#[serde(default)]
pub struct RandomBackbone {
    /// Width of the embeddings and of every layer between them.
    pub n_embd: usize,
    /// How many transformer blocks there are.
    pub n_layer: usize,
    /// How many attention heads a block has; divides `n_embd`.
    pub n_head: usize,
    /// Longest prompt and main text together.
    pub n_positions: usize,
    /// Seed of the weights; independent of the job's seed, so that jobs can
    /// share a backbone.
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
    /// The identity plus noise, so that the prompt's items reach the last token
    /// unscrambled.
    NearIdentity,
}

/// Where a backbone's files are; in files and on the wire it is one string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BackboneLocation {
    /// A folder below the worker's backbone root.
    Folder(String),
    /// `artifact://ID`: a backbone of the artifact store.
    Artifact(ArtifactId),
    /// `hf://OWNER/NAME@REVISION`: a repository of the hub.
    Hub {
        /// The repository's name, with its owner as a rule: `OWNER/NAME`.
        repo: String,
        /// A tag, branch or commit; a commit never changes.
        revision: String,
    },
}

const ARTIFACT: &str = "artifact://";
const HUB: &str = "hf://";

impl BackboneLocation {
    /// Reads a location; nothing that leads out of the configured root, and no
    /// other scheme.
    pub fn new(location: &str) -> Result<Self, Invalid> {
        let found = if let Some(id) = location.strip_prefix(ARTIFACT) {
            ArtifactId::new(id).ok().map(Self::Artifact)
        } else if let Some(place) = location.strip_prefix(HUB) {
            Self::of_hub(place)
        } else {
            let is_inside = location.split('/').all(is_plain);
            is_inside.then(|| Self::Folder(location.to_owned()))
        };

        found.ok_or_else(|| {
            let reason = format!(
                "`{location}` must be a relative path below the worker's backbone root without \
                 `..`, artifact://ID or hf://OWNER/NAME@REVISION"
            );
            Invalid::one("", reason)
        })
    }

    /// Reads `OWNER/NAME@REVISION`, the place of a hub.
    fn of_hub(place: &str) -> Option<Self> {
        let (repo, revision) = place.split_once('@')?;
        let is_name =
            repo.split('/').count() <= 2 && repo.split('/').all(is_plain);
        (is_name && is_plain(revision)).then(|| Self::Hub {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

/// True for one part of a path that neither hides nor leads elsewhere.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.chars().all(may_be_in_part)
}

fn may_be_in_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+')
}

impl fmt::Display for BackboneLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => f.write_str(path),
            Self::Artifact(id) => write!(f, "{ARTIFACT}{id}"),
            Self::Hub { repo, revision } => write!(f, "{HUB}{repo}@{revision}"),
        }
    }
}

impl TryFrom<String> for BackboneLocation {
    type Error = Invalid;
    fn try_from(location: String) -> Result<Self, Invalid> {
        Self::new(&location)
    }
}

impl From<BackboneLocation> for String {
    fn from(location: BackboneLocation) -> Self {
        location.to_string()
    }
}

impl Backbone {
    /// Adds what is wrong, under `backbone`.
    pub(crate) fn check(&self, wrong: &mut Vec<Violation>) {
        match self {
            Self::Path(_) => {} // checked when it was read
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
            counted(wrong, &format!("backbone.random.{field}"), value, most);
        }
        if self.n_head != 0 && !self.n_embd.is_multiple_of(self.n_head) {
            let reason = format!(
                "must divide n_embd = {}, is {}",
                self.n_embd, self.n_head
            );
            wrong.push(Violation::new("backbone.random.n_head", reason));
        }

        at_most(
            wrong,
            "backbone.random.warmup_epochs",
            self.warmup_epochs,
            MAX_EPOCHS,
        );
        let square = self.n_embd.saturating_mul(self.n_embd);
        if self.n_layer.saturating_mul(square) > MAX_SQUARES {
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

/// A recommendation prompt has ten tokens besides the history's, and room for
/// an item or two.
pub const MIN_POSITIONS: usize = 12;

/// Most `n_layer · n_embd²` of a random backbone: 12 times that are its
/// weights.
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

    #[test]
    fn a_location_is_one_string_in_json() {
        for written in ["a/b c", "artifact://0a1b", "hf://own/tiny@v1"] {
            let backbone =
                Backbone::Path(BackboneLocation::new(written).unwrap());
            let json = serde_json::to_string(&backbone).unwrap();
            assert_eq!(json, format!(r#"{{"path":"{written}"}}"#));
            assert_eq!(
                serde_json::from_str::<Backbone>(&json).unwrap(),
                backbone
            );
        }
        assert!(
            serde_json::from_str::<Backbone>(r#"{"path":"../gpt2"}"#).is_err()
        );
    }
}
