//! What a job's time is spent on.

use serde::{Deserialize, Serialize};

use crate::stage::Stage;

/// A part of a job, in the order in which they begin.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The data set is read and encoded, the tables get their first rows.
    Start,
    /// EASE is solved for each λ and strength of the texts that is tried, and
    /// ranks the validation split.
    Ease,
    /// The random backbone itself learns.
    Warmup,
    /// The content LM's tables learn.
    Content,
    /// The collaborative LM's tables learn.
    Collaborative,
    /// The collaborative tables learn to rank.
    Finetuning,
    /// The validation split is ranked.
    Validation,
    /// User tokens and the hybrid's weight are chosen.
    Choice,
    /// The test split is ranked, by the baselines too.
    Test,
    /// Checkpoints and the model's files are written.
    Saving,
}

impl Part {
    /// Every part, in the order in which they begin.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Ease,
        Self::Warmup,
        Self::Content,
        Self::Collaborative,
        Self::Finetuning,
        Self::Validation,
        Self::Choice,
        Self::Test,
        Self::Saving,
    ];

    /// The name in JSON and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ease => "ease",
            Self::Warmup => "warmup",
            Self::Content => "content",
            Self::Collaborative => "collaborative",
            Self::Finetuning => "finetuning",
            Self::Validation => "validation",
            Self::Choice => "choice",
            Self::Test => "test",
            Self::Saving => "saving",
        }
    }

    /// The part of a name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

impl From<Stage> for Part {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Warmup => Self::Warmup,
            Stage::Content => Self::Content,
            Stage::Collaborative => Self::Collaborative,
            Stage::Finetuning => Self::Finetuning,
        }
    }
}

/// What a part of a job came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// The seconds of all times that the part ran.
    pub seconds: f64,
    /// Real tokens of its training steps.
    pub n_tokens: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_and_its_part_have_one_name() {
        use Stage::{Collaborative, Content, Finetuning, Warmup};
        for stage in [Warmup, Content, Collaborative, Finetuning] {
            assert_eq!(Part::from(stage).name(), stage.name());
        }
    }
}
