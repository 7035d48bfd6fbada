//! Hugging Face's `config.json`: which family of decoder, and its shape.

use std::path::Path;

use domain::Shape;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backbone::checkpoint::{Checkpoint, ExpectedWeight};
use crate::backbone::gpt2;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::llama;
use crate::backbone::llama::config::LlamaConfig;
use crate::error::Error;

/// The file's name beside the weights.
pub(crate) const FILE: &str = "config.json";

/// A configuration, by family.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Config {
    /// A configuration whose `model_type` is `gpt2`.
    Gpt2(Gpt2Config),
    /// `model_type` `llama`, `qwen2`, `qwen3`, `mistral`.
    Llama(Box<LlamaConfig>),
}

/// What a file without `model_type` is: the field came after GPT-2.
const OLDEST_FAMILY: &str = "gpt2";

impl Config {
    /// Reads and checks a file. A family that is not computed here is refused
    /// by name.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        Self::parse(&text).map_err(|reason| Error::malformed(path, reason))
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::of_fields(serde_json::from_str(text).map_err(|e| e.to_string())?)
    }

    /// Checks the fields of a `config.json`; an error says what is wrong.
    pub(crate) fn of_fields(fields: Value) -> Result<Self, String> {
        let family = match fields.get("model_type") {
            None | Some(Value::Null) => OLDEST_FAMILY,
            Some(name) => name.as_str().ok_or("model_type must be a name")?,
        };
        match family {
            "gpt2" => {
                let config = Gpt2Config::deserialize(fields)
                    .map_err(|e| e.to_string())?;
                config.check()?;
                Ok(Self::Gpt2(config))
            }
            member if llama::config::MEMBERS.contains(&member) => {
                let config = LlamaConfig::deserialize(fields)
                    .map_err(|e| e.to_string())?;
                config.check()?;
                Ok(Self::Llama(Box::new(config)))
            }
            _ => Err(format!(
                "model_type is `{family}`; what is read here: gpt2, {}",
                llama::config::MEMBERS.join(", ")
            )),
        }
    }

    /// The length of the longest sequence, in tokens.
    pub(crate) fn n_positions(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Llama(config) => config.max_position_embeddings,
        }
    }

    /// What `model_type` calls it.
    pub(crate) fn family(&self) -> &str {
        match self {
            Self::Gpt2(_) => OLDEST_FAMILY,
            Self::Llama(config) => &config.model_type,
        }
    }

    /// Heads of the queries.
    pub(crate) fn n_heads(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_head,
            Self::Llama(config) => config.num_attention_heads,
        }
    }

    /// Heads of the keys and values; fewer where queries share them.
    pub(crate) fn n_key_value_heads(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_head,
            Self::Llama(config) => config.n_key_value_heads(),
        }
    }

    /// Words of the vocabulary, V.
    pub(crate) fn n_words(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
        }
    }

    /// Names and shapes of the weights that a checkpoint must hold.
    pub(crate) fn weights(
        &self,
        checkpoint: &Checkpoint,
    ) -> Vec<ExpectedWeight> {
        match self {
            Self::Gpt2(config) => gpt2::weights::expected(config, checkpoint),
            Self::Llama(config) => llama::weights::expected(config, checkpoint),
        }
    }

    /// The sizes that the cost of a pass follows from.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Gpt2(config) => config.shape(),
            Self::Llama(config) => config.shape(),
        }
    }

    /// The word that every prompt begins with, where the model was trained with
    /// one.
    pub(crate) fn first_word(&self) -> Option<u32> {
        match self {
            Self::Gpt2(_) => None,
            Self::Llama(config) => config.first_word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_family_is_refused_by_name_with_the_list_of_those_that_are_read()
    {
        let refused = Config::parse(r#"{"model_type": "mamba2"}"#).unwrap_err();
        assert!(
            refused.contains("`mamba2`") && refused.contains("gpt2"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_from_before_model_type_is_a_gpt_2() {
        let shape = r#"{"vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}"#;
        assert_eq!(Config::parse(shape).unwrap().shape().inner, 16.0);
    }
}
