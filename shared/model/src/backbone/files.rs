//! A backbone's files: opened and compared with each other, while the weights
//! stay on the disk until they are asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::MIN_POSITIONS;

use crate::backbone::checkpoint::Checkpoint;
use crate::backbone::comparison::WantedWeights;
use crate::backbone::config::{self, Config};
use crate::backbone::gguf::{GgufCheckpoint, gguf_file};
use crate::backbone::gpt2;
use crate::backbone::llama;
use crate::backbone::tensor_files::{self, TensorFiles};
use crate::backbone::tokenizer::{self, Tokenizer};
use crate::error::Error;

/// The files of a backbone, which agree about its weights.
pub(crate) struct BackboneFiles {
    pub(crate) config: Config,
    pub(crate) checkpoint: Checkpoint,
    /// What the configuration asks of the checkpoint, which has it.
    pub(crate) weights: WantedWeights,
    /// Absent where a checkpoint came without one.
    pub(crate) tokenizer: Option<Arc<Tokenizer>>,
}

impl BackboneFiles {
    /// Reads the configuration, the tokenizer and the weights' headers. Sizes
    /// that the headers do not have are an error, before anybody takes memory
    /// for them.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if let Some(file) = gguf_file(path) {
            let gguf = GgufCheckpoint::open(&file)?;
            let config = gguf.config()?;
            let tokenizer = Some(Arc::new(gguf.tokenizer()?));
            let checkpoint = Checkpoint::Gguf(gguf);
            let weights = compared(&config, &checkpoint)?;
            return Ok(Self {
                config,
                checkpoint,
                weights,
                tokenizer,
            });
        }
        let config = read_config(path)?;
        let checkpoint = Checkpoint::Safetensors(TensorFiles::open(path)?);
        let weights = compared(&config, &checkpoint)?;
        let tokenizer = read_tokenizer(path, &config)?;
        Ok(Self {
            config,
            checkpoint,
            weights,
            tokenizer,
        })
    }
}

/// The weights that a configuration asks for; an error where the checkpoint has
/// others.
fn compared(
    config: &Config,
    checkpoint: &Checkpoint,
) -> Result<WantedWeights, Error> {
    let weights = match config {
        Config::Gpt2(config) => gpt2::weights::wanted(config, checkpoint),
        Config::Llama(config) => llama::weights::wanted(config, checkpoint),
    };
    weights.compare(checkpoint)?;
    Ok(weights)
}

/// The file that says what a backbone is: a GGUF file, or `config.json`.
pub(crate) fn config_file(path: &Path) -> PathBuf {
    gguf_file(path).unwrap_or_else(|| path.join(config::FILE))
}

/// The files that a backbone's weights are in, with the index that names
/// shards.
pub fn weight_files(path: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    if let Some(file) = gguf_file(path) {
        return Ok(BTreeSet::from([file]));
    }
    let (first, files) = tensor_files::weight_files(path)?;
    let mut paths = BTreeSet::from([first]);
    paths.extend(files);
    Ok(paths)
}

/// Reads what a backbone is, and nothing of its weights.
pub(crate) fn read_config(path: &Path) -> Result<Config, Error> {
    match gguf_file(path) {
        Some(file) => GgufCheckpoint::open(&file)?.config(),
        None => Config::read(&path.join(config::FILE)),
    }
}

/// The tokenizer beside a checkpoint. A GPT-2 without one has GPT-2's own.
fn read_tokenizer(
    folder: &Path,
    config: &Config,
) -> Result<Option<Arc<Tokenizer>>, Error> {
    let path = folder.join(tokenizer::FILE);
    if path.exists() {
        let tokenizer = Tokenizer::read(&path, config.first_word())?;
        return Ok(Some(Arc::new(tokenizer)));
    }
    Ok(match config {
        Config::Gpt2(_) => Some(Tokenizer::gpt2()),
        Config::Llama(_) => None,
    })
}

/// Checks that the prompts' words are in the vocabulary and that a prompt fits
/// the positions.
pub(crate) fn check_prompts(
    path: &Path,
    config: &Config,
    tokenizer: &Tokenizer,
) -> Result<(), Error> {
    let first_word = tokenizer.first_word().unwrap_or(0) as usize;
    let n_words = tokenizer.n_words().max(first_word + 1);
    let vocab_size = config.n_words();
    let n_positions = config.n_positions();
    if vocab_size >= n_words && n_positions >= MIN_POSITIONS {
        return Ok(());
    }
    let reason = format!(
        "vocab_size {vocab_size} and n_positions {n_positions} must be at \
         least {n_words} (the tokenizer's words) and {MIN_POSITIONS}; take \
         config.json, tokenizer.json and weights from the same checkpoint"
    );
    Err(Error::malformed(config_file(path), reason))
}
