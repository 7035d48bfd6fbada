//! Shapes of the Llama family (reference: `transformers.{LlamaConfig,
//! Qwen2Config, Qwen3Config, MistralConfig}`).

use domain::Shape;
use serde::{Deserialize, Serialize};

use crate::backbone::bounds::{Size, check_epsilon, check_sizes};

/// Shape of a Llama, Qwen 2, Qwen 3 or Mistral. Field names are those of
/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LlamaConfig {
    /// The member of the family: `llama`, `qwen2`, `qwen3` or `mistral`.
    pub(crate) model_type: String,
    /// Words in the vocabulary, V.
    pub(crate) vocab_size: usize,
    /// Width of the embeddings, K.
    pub(crate) hidden_size: usize,
    /// Width inside the MLP.
    pub(crate) intermediate_size: usize,
    /// Transformer blocks.
    pub(crate) num_hidden_layers: usize,
    /// Heads of the queries.
    pub(crate) num_attention_heads: usize,
    /// Heads of the keys and values; as many as the queries' when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size` over the heads when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head_dim: Option<usize>,
    /// What the norms add to the mean square.
    #[serde(default = "default_epsilon")]
    pub(crate) rms_norm_eps: f64,
    /// Longest sequence that the model was made for.
    pub(crate) max_position_embeddings: usize,
    /// Base of the rotations' wavelengths, as files before `rope_parameters`
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    /// How wavelengths are stretched, as files before `rope_parameters` say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RopeParameters>,
    /// Base and stretching of the wavelengths, in newer files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RopeParameters>,
    /// The head is the word embeddings themselves.
    #[serde(default)]
    pub(crate) tie_word_embeddings: bool,
    /// Llamas may have biases in all four projections of attention.
    #[serde(default)]
    attention_bias: bool,
    /// Biases in the MLP, which are not computed here.
    #[serde(default)]
    mlp_bias: bool,
    /// Only `silu` is computed here.
    #[serde(default = "default_activation")]
    hidden_act: String,
    /// Attention that forgets what is further back, which is not computed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sliding_window: Option<usize>,
    /// Qwens name a window without using it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    use_sliding_window: Option<bool>,
    /// The first word of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bos_token_id: Option<u32>,
    /// The model was trained with that word in front of every sequence. A field
    /// of ours: Hugging Face's files do not say it, GGUF files do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begins_with_bos: Option<bool>,
}

/// The rotations' wavelengths.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct RopeParameters {
    #[serde(default, alias = "type", skip_serializing_if = "Option::is_none")]
    rope_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_freq_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_freq_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<usize>,
}

/// How the wavelengths of the rotations are stretched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RopeScaling {
    /// Not at all.
    Plain,
    /// Llama 3's: long wavelengths by `factor`, short ones not, those between
    /// in part.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        /// The longest sequence before it was stretched.
        original_positions: f64,
    },
}

/// What rotations are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rope {
    /// The base of the wavelengths.
    pub(crate) theta: f64,
    pub(crate) scaling: RopeScaling,
    pub(crate) head_dim: usize,
}

/// The members of the family that are computed here, as `model_type` names
/// them.
pub(crate) const MEMBERS: [&str; 4] = ["llama", "qwen2", "qwen3", "mistral"];
/// Wider heads than any model has.
const MOST_HEAD_DIM: usize = 1 << 9;
/// Positions beyond this are not used, whatever the model was made for: a
/// prompt is far shorter, and each position takes memory.
const MOST_POSITIONS: usize = 1 << 17;

/// What files that name no base mean (reference: `LlamaConfig`).
const DEFAULT_THETA: f64 = 10_000.0;

fn default_epsilon() -> f64 {
    1e-6
}

fn default_activation() -> String {
    "silu".to_owned()
}

impl LlamaConfig {
    /// Says what is wrong with it, or what of it is not computed here.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.hidden_act != "silu" {
            return Err(format!(
                "hidden_act is `{}`; only `silu` is supported",
                self.hidden_act
            ));
        }
        if self.mlp_bias {
            return Err(
                "mlp_bias is true; only MLPs without biases are supported"
                    .to_owned(),
            );
        }
        self.check_window()?;
        check_epsilon("rms_norm_eps", self.rms_norm_eps)?;
        check_sizes(&self.sizes())?;
        self.check_heads()?;
        self.rope().map(drop)
    }

    fn check_window(&self) -> Result<(), String> {
        let is_used = match self.use_sliding_window {
            Some(is_used) => is_used,
            None => self.model_type == "mistral",
        };
        match self.sliding_window {
            Some(window)
                if is_used && window < self.max_position_embeddings =>
            {
                Err(format!(
                    "sliding_window is {window}; only attention to the whole sequence is supported"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The sizes that memory is taken for, each with more than any model has.
    fn sizes(&self) -> [Size; 7] {
        let size = |name, value, most| Size { name, value, most };
        [
            size("vocab_size", self.vocab_size, 1 << 22),
            size("hidden_size", self.hidden_size, 1 << 16),
            size("intermediate_size", self.intermediate_size, 1 << 18),
            size("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            size("num_attention_heads", self.num_attention_heads, 1 << 10),
            size("num_key_value_heads", self.n_key_value_heads(), 1 << 10),
            size(
                "max_position_embeddings",
                self.max_position_embeddings,
                1 << 21,
            ),
        ]
    }

    fn check_heads(&self) -> Result<(), String> {
        let (heads, groups) =
            (self.num_attention_heads, self.n_key_value_heads());
        if !heads.is_multiple_of(groups) {
            return Err(format!(
                "num_key_value_heads = {groups} does not divide num_attention_heads = {heads}"
            ));
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            return Err(format!(
                "num_attention_heads = {heads} does not divide hidden_size = {}",
                self.hidden_size
            ));
        }
        let head_dim = self.head_dim();
        if head_dim == 0
            || head_dim > MOST_HEAD_DIM
            || !head_dim.is_multiple_of(2)
        {
            return Err(format!(
                "head_dim is {head_dim}; it must be even and at most {MOST_HEAD_DIM}"
            ));
        }
        Ok(())
    }

    /// The length of the longest sequence that is computed, in tokens.
    pub(crate) fn n_positions(&self) -> usize {
        self.max_position_embeddings.min(MOST_POSITIONS)
    }

    /// Heads of the keys, and as many of the values.
    pub(crate) fn n_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub(crate) fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// Width of all heads of the queries together.
    pub(crate) fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim()
    }

    /// Width of all heads of the keys together, and as much for the values.
    pub(crate) fn key_value_width(&self) -> usize {
        self.n_key_value_heads() * self.head_dim()
    }

    /// Queries, keys and values are shifted; it is in Qwen 2's code, not in its
    /// `config.json`.
    pub(crate) fn has_qkv_bias(&self) -> bool {
        self.model_type == "qwen2" || self.attention_bias
    }

    /// Attention's output is shifted.
    pub(crate) fn has_output_bias(&self) -> bool {
        self.model_type != "qwen2" && self.attention_bias
    }

    /// Each head of queries and keys has a norm before it is rotated.
    pub(crate) fn has_head_norms(&self) -> bool {
        self.model_type == "qwen3"
    }

    /// The rotations; a kind that is not computed here is an error.
    pub(crate) fn rope(&self) -> Result<Rope, String> {
        let newer = self.rope_parameters.as_ref();
        let parameters = newer.or(self.rope_scaling.as_ref());
        let theta = newer
            .and_then(|parameters| parameters.rope_theta)
            .or(self.rope_theta)
            .unwrap_or(DEFAULT_THETA);
        if !(theta.is_finite() && theta >= 1.0) {
            return Err(format!("rope_theta must be at least 1, is {theta}"));
        }
        let scaling = match parameters {
            None => RopeScaling::Plain,
            Some(parameters) => parameters.scaling()?,
        };
        Ok(Rope {
            theta,
            scaling,
            head_dim: self.head_dim(),
        })
    }

    /// The word that every prompt begins with, where the model was trained with
    /// one. A file that does not say so is believed to be when it is a Llama 3.
    pub(crate) fn first_word(&self) -> Option<u32> {
        let is_llama_3 = matches!(
            self.rope().map(|rope| rope.scaling),
            Ok(RopeScaling::Llama3 { .. })
        );
        let begins_with_it = self.begins_with_bos.unwrap_or(is_llama_3);
        self.bos_token_id.filter(|_| begins_with_it)
    }

    /// The sizes that the cost of a pass follows from.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            n_embd: self.hidden_size as f64,
            query_width: self.query_width() as f64,
            key_value_width: self.key_value_width() as f64,
            inner: self.intermediate_size as f64,
            n_inner_products: 3.0,
            n_layer: self.num_hidden_layers,
            n_words: self.vocab_size as f64,
        }
    }
}

impl RopeParameters {
    fn scaling(&self) -> Result<RopeScaling, String> {
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::Plain),
            Some("llama3") => self.llama3(),
            Some(other) => Err(format!(
                "rope_type is `{other}`; what is read here: default, llama3"
            )),
        }
    }

    fn llama3(&self) -> Result<RopeScaling, String> {
        let low = self.required("low_freq_factor", self.low_freq_factor)?;
        let high = self.required("high_freq_factor", self.high_freq_factor)?;
        if high <= low {
            return Err(format!(
                "rope_scaling.high_freq_factor = {high} must be above \
                 low_freq_factor = {low}"
            ));
        }
        Ok(RopeScaling::Llama3 {
            factor: self.required("factor", self.factor)?,
            low_freq_factor: low,
            high_freq_factor: high,
            original_positions: self.required(
                "original_max_position_embeddings",
                self.original_max_position_embeddings.map(|n| n as f64),
            )?,
        })
    }

    fn required(&self, name: &str, value: Option<f64>) -> Result<f64, String> {
        match value {
            Some(value) if value.is_finite() && value > 0.0 => Ok(value),
            Some(value) => {
                Err(format!("rope_scaling.{name} must be positive, is {value}"))
            }
            None => Err(format!("rope_scaling.{name} is missing")),
        }
    }
}
