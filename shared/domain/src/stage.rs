//! What a job learns, stage by stage.

use serde::{Deserialize, Serialize};

/// Most epochs of a stage: a plan is held in memory.
pub(crate) const MAX_EPOCHS: usize = 10_000;

/// A stage of training, in the order in which they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A random backbone learns, before it is frozen.
    Warmup,
    /// The content LM's tables learn from texts.
    Content,
    /// The collaborative LM's tables learn from histories.
    Collaborative,
    /// The collaborative tables learn to rank.
    Finetuning,
}

impl Stage {
    /// Spells the name that events, logs and JSON have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Content => "content",
            Self::Collaborative => "collaborative",
            Self::Finetuning => "finetuning",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
