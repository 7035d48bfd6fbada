//! A GPT-2's shape, read from Hugging Face's `config.json` (reference: `transformers.GPT2Config`).

use std::path::Path;

use domain::MIN_POSITIONS;
use serde::{Deserialize, Serialize};

use crate::backbone::tokenizer::Tokenizer;
use crate::error::Error;

/// Shape of a GPT-2. Field names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpt2Config {
    /// Words in the vocabulary, V.
    pub vocab_size: usize,
    /// Longest sequence.
    pub n_positions: usize,
    /// Embedding width, K.
    pub n_embd: usize,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Attention heads; divides `n_embd`.
    pub n_head: usize,
    /// Width inside the MLP; 4 K when absent.
    #[serde(default)]
    pub n_inner: Option<usize>,
    /// Of the layer norms.
    #[serde(default = "default_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Only `gelu_new` (the tanh approximation) is GPT-2.
    #[serde(default = "default_activation")]
    pub activation_function: String,
    /// A variant of attention that is not computed here.
    #[serde(default)]
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Attention scores are divided by the root of the head's width; GPT-2 always does.
    #[serde(default = "default_true")]
    pub scale_attn_weights: bool,
    /// `gpt2`, for programs that read the file.
    #[serde(default = "default_model_type")]
    pub model_type: String,
}

fn default_epsilon() -> f64 {
    1e-5
}

fn default_activation() -> String {
    "gelu_new".to_owned()
}

fn default_true() -> bool {
    true
}

fn default_model_type() -> String {
    "gpt2".to_owned()
}

impl Gpt2Config {
    /// A GPT-2 of this shape with the usual details.
    pub fn new(
        vocab_size: usize,
        n_positions: usize,
        n_embd: usize,
        n_layer: usize,
        n_head: usize,
    ) -> Self {
        Self {
            vocab_size,
            n_positions,
            n_embd,
            n_layer,
            n_head,
            n_inner: None,
            layer_norm_epsilon: default_epsilon(),
            activation_function: default_activation(),
            scale_attn_by_inverse_layer_idx: false,
            scale_attn_weights: true,
            model_type: default_model_type(),
        }
    }

    /// Reads and checks `config.json`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|e| Error::malformed(path, e.to_string()))?;
        config
            .check()
            .map_err(|reason| Error::malformed(path, reason))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.model_type != "gpt2" {
            return Err(format!(
                "model_type is `{}`; only `gpt2` is supported",
                self.model_type
            ));
        }
        if self.activation_function != "gelu_new" {
            return Err(format!(
                "activation_function is `{}`; only `gelu_new` is supported",
                self.activation_function
            ));
        }
        if self.scale_attn_by_inverse_layer_idx || !self.scale_attn_weights {
            return Err("only attention scaled by the head's width alone is supported".to_owned());
        }
        if self.n_head == 0 || !self.n_embd.is_multiple_of(self.n_head) || self.n_embd == 0 {
            return Err(format!(
                "n_head = {} does not divide n_embd = {}",
                self.n_head, self.n_embd
            ));
        }
        if self.vocab_size == 0 || self.n_positions == 0 || self.n_layer == 0 {
            return Err("vocab_size, n_positions and n_layer must be at least 1".to_owned());
        }
        Ok(())
    }

    /// Checks that the prompts' words are in the vocabulary and that a prompt fits the positions.
    pub fn check_prompts(&self, folder: &Path) -> Result<(), Error> {
        let (n_words, n_positions) = (Tokenizer::N_WORDS, MIN_POSITIONS);
        if self.vocab_size < n_words || self.n_positions < n_positions {
            let reason = format!(
                "vocab_size {} and n_positions {} must be at least {n_words} (GPT-2's vocabulary) and {n_positions}",
                self.vocab_size, self.n_positions
            );
            return Err(Error::malformed(folder.join("config.json"), reason));
        }
        Ok(())
    }

    /// Width inside the MLP.
    pub fn inner(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }
}
