//! What validation chose: with it the model can be fitted once more, on all
//! interactions, where there is nothing left to choose by.

use std::collections::BTreeMap;

use domain::UserToken;
use serde::{Deserialize, Serialize};

use crate::evaluation::baselines::ease;
use crate::training::start;

/// A measured model, without its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluated {
    pub(crate) choices: Choices,
    /// Ranking metrics by the keys of `domain::RankedBy`.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// Everything that is open in a job's specification and was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Choices {
    /// Finetuning epochs after which the tables were best.
    pub(crate) n_finetuning_epochs: usize,
    /// The spectral start; absent where rows start at random.
    pub(crate) start: Option<start::Settings>,
    /// The teacher and partner; absent where there is none.
    pub(crate) ease: Option<ease::Settings>,
    pub(crate) known_user: UserToken,
    pub(crate) new_user: UserToken,
    /// The hybrid's light model; absent where the language model ranks alone.
    pub(crate) partner: Option<PartnerChoice>,
}

/// How a light model is mixed in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartnerChoice {
    /// Its share of the mixed scores, above 0 and up to 1.
    pub(crate) weight: f64,
    /// How much the texts count in it, β.
    pub(crate) text_strength: f64,
}
