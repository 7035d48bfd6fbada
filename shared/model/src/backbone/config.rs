//! Hugging Face's `config.json`: which family of decoder, and its shape.

use std::fs::File;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::io::Read;
use std::path::Path;

use domain::Shape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backbone::bounds::FIELDS_ADVICE;
use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::llama;
use crate::backbone::llama::config::LlamaConfig;
use crate::error::Error;
use crate::foreign;

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

/// The longest file that is read, in bytes: an index of shards has a line for
/// each weight.
const MAX_JSON: u64 = 1 << 24;

const WHAT_A_BACKBONE_IS: &str = "a backbone is a folder with config.json and model.safetensors, or a \
     GGUF file named by its path";
const QUANTISED: &str = "it has a quantization_config; take the checkpoint that was not \
     quantised, or a GGUF file in Q4_0 to Q8_0";

/// Reads a JSON file of bounded length. Where it is not there, the error ends
/// with `advice`.
pub(crate) fn read_json<T: DeserializeOwned>(
    path: &Path,
    advice: &str,
) -> Result<T, Error> {
    let file = File::open(path).map_err(|error| {
        if matches!(error.kind(), NotFound | NotADirectory) {
            Error::absent(path, advice)
        } else {
            Error::file(path)(error)
        }
    })?;
    let mut text = Vec::new();
    file.take(MAX_JSON + 1)
        .read_to_end(&mut text)
        .map_err(Error::file(path))?;
    if text.len() as u64 > MAX_JSON {
        let reason =
            format!("it is longer than {MAX_JSON} bytes; {FIELDS_ADVICE}");
        return Err(Error::malformed(path, reason));
    }
    serde_json::from_slice(&text).map_err(|error| {
        let reason = match foreign::explain(path) {
            Some(advice) => advice.to_owned(),
            None => format!("{error}; download it again"),
        };
        Error::malformed(path, reason)
    })
}

/// What a file without `model_type` is: the field came after GPT-2.
const OLDEST_FAMILY: &str = "gpt2";

impl Config {
    /// Reads and checks a file. A family that is not computed here is refused
    /// by name.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let fields = read_json(path, WHAT_A_BACKBONE_IS)?;
        Self::of_fields(fields).map_err(|reason| Error::malformed(path, reason))
    }

    /// Checks the fields of a `config.json`; an error says what is wrong.
    ///
    /// A size is at most what a decoder can have: products of what is returned
    /// do not overflow. Memory is taken once the weights' headers agree.
    pub(crate) fn of_fields(fields: Value) -> Result<Self, String> {
        let quantisation = fields.get("quantization_config");
        if quantisation.is_some_and(|value| !value.is_null()) {
            return Err(QUANTISED.to_owned());
        }
        let family = match fields.get("model_type") {
            None | Some(Value::Null) => OLDEST_FAMILY,
            Some(name) => name.as_str().ok_or("model_type must be a name")?,
        };
        match family {
            "gpt2" => {
                let config = Gpt2Config::deserialize(fields)
                    .map_err(|e| format!("{e}; {FIELDS_ADVICE}"))?;
                config.check()?;
                Ok(Self::Gpt2(config))
            }
            member if llama::config::MEMBERS.contains(&member) => {
                let config = LlamaConfig::deserialize(fields)
                    .map_err(|e| format!("{e}; {FIELDS_ADVICE}"))?;
                config.check()?;
                Ok(Self::Llama(Box::new(config)))
            }
            _ => Err(format!(
                "model_type is `{family}`; take one of those that are read \
                 here: gpt2, {}",
                llama::config::MEMBERS.join(", ")
            )),
        }
    }

    /// The length of the longest sequence, in tokens.
    pub(crate) fn n_positions(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Llama(config) => config.n_positions(),
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

    fn parse(text: &str) -> Result<Config, String> {
        Config::of_fields(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn another_family_is_refused_by_name_with_the_list_of_those_that_are_read()
    {
        let refused = parse(r#"{"model_type": "mamba2"}"#).unwrap_err();
        assert!(
            refused.contains("`mamba2`") && refused.contains("gpt2"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_from_before_model_type_is_a_gpt_2() {
        let shape = r#"{"vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 2}"#;
        assert_eq!(parse(shape).unwrap().shape().inner, 16.0);
    }
}
