//! What a job learns, stage by stage.

use serde::{Deserialize, Serialize};

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
    /// The name in events, logs and JSON.
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
