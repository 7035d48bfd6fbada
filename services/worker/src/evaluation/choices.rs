//! What validation chose: with it the model can be fitted once more, on all
//! interactions, where there is nothing left to choose by.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use domain::UserToken;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::Error;
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
    /// EASE as a baseline that reads no texts; absent where there is none, and
    /// in checkpoints that were written before this was kept.
    #[serde(default)]
    pub(crate) blind_ease: Option<ease::Settings>,
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
    /// Its λ; EASE's own where absent.
    #[serde(default)]
    pub(crate) lambda: Option<f64>,
    /// Over how many places of a history a pair's weight falls to 1/e in it;
    /// absent where all pairs count the same.
    #[serde(default)]
    pub(crate) nearness: Option<f64>,
}

/// Name of the choices among a model's files.
const FILE: &str = "choices.json";
/// Version of what the file says.
const FORMAT: u32 = 1;

/// The choices as a model's folder keeps them.
#[derive(Serialize, Deserialize)]
struct ChoicesFile {
    format: u32,
    choices: Choices,
}

impl Choices {
    /// Writes them among a model's files.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = ChoicesFile {
            format: FORMAT,
            choices: self.clone(),
        };
        let bytes = serde_json::to_vec(&file).expect("plain data becomes JSON");
        disk::write(&folder.join(FILE), &bytes)
    }

    /// Reads them from a model's folder; `None` where the model is from before
    /// they were kept, or from a program that kept them in another form: then
    /// everything is chosen anew.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(Error::file(path)(error)),
        };
        match serde_json::from_slice::<ChoicesFile>(&bytes) {
            Ok(file) if file.format == FORMAT => Ok(Some(file.choices)),
            Ok(_) | Err(_) => {
                tracing::warn!(
                    file = %path.display(),
                    "what was chosen for the earlier version is in another form and is chosen anew"
                );
                Ok(None)
            }
        }
    }
}
