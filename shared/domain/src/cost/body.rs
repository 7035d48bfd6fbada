//! The sizes of a language model that a job's time follows from. A random
//! backbone's are in its specification; those of files are read by a worker
//! that has them, or from an artifact's `config.json`.

use serde::Deserialize;

use crate::backbone::{BackboneLocation, MIN_POSITIONS, RandomBackbone};
use crate::field::Invalid;
use crate::work::Shape;

/// What of a language model a job's time follows from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Body {
    shape: Shape,
    n_positions: usize,
}

/// A language model that a worker has on its disk.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenBackbone {
    /// What a job names it by.
    pub location: BackboneLocation,
    /// How large it is.
    pub body: Body,
}

/// More transformer blocks than any model has.
const MOST_LAYERS: usize = 1 << 10;

impl Body {
    /// Takes sizes that work can be counted with.
    pub fn new(shape: Shape, n_positions: usize) -> Result<Self, Invalid> {
        for (size, value) in [
            ("n_embd", shape.n_embd),
            ("query_width", shape.query_width),
            ("key_value_width", shape.key_value_width),
            ("inner", shape.inner),
            ("n_inner_products", shape.n_inner_products),
            ("n_words", shape.n_words),
        ] {
            if !(value.is_finite() && value >= 1.0) {
                let reason = format!("must be at least 1, is {value}");
                return Err(Invalid::one(size, reason));
            }
        }
        if shape.n_layer == 0 || shape.n_layer > MOST_LAYERS {
            let n_layer = shape.n_layer;
            let reason = format!("must be 1 to {MOST_LAYERS}, is {n_layer}");
            return Err(Invalid::one("n_layer", reason));
        }
        if n_positions < MIN_POSITIONS {
            let reason =
                format!("must be at least {MIN_POSITIONS}, is {n_positions}");
            return Err(Invalid::one("n_positions", reason));
        }
        Ok(Self { shape, n_positions })
    }

    /// Reads the sizes that a Hugging Face `config.json` names, of a GPT-2 or
    /// of a decoder of the Llama family.
    pub fn of_config(json: &[u8]) -> Result<Self, Invalid> {
        let config: ConfigFile = serde_json::from_slice(json)
            .map_err(|error| Invalid::one("config.json", error.to_string()))?;
        config.body()
    }

    /// The sizes that a pass's operations follow from.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// How many weights its blocks have, norms and biases aside: half of what
    /// they compute for a token.
    pub fn block_weights(&self) -> f64 {
        let shape = &self.shape;
        let attention = 2.0 * (shape.query_width + shape.key_value_width);
        let mlp = shape.n_inner_products * shape.inner;
        shape.n_layer as f64 * (attention + mlp) * shape.n_embd
    }

    /// How many weights it has in all; the head taken as the embeddings
    /// themselves.
    pub fn n_weights(&self) -> f64 {
        self.block_weights() + self.shape.n_words * self.shape.n_embd
    }

    /// The longest sequence, in tokens.
    pub fn n_positions(&self) -> usize {
        self.n_positions
    }
}

impl From<&RandomBackbone> for Body {
    fn from(backbone: &RandomBackbone) -> Self {
        Self {
            shape: backbone.into(),
            n_positions: backbone.n_positions,
        }
    }
}

/// The fields of a `config.json` that sizes are in, under the Llama family's
/// names and under GPT-2's.
#[derive(Deserialize)]
struct ConfigFile {
    /// Absent in the oldest GPT-2s.
    model_type: Option<String>,
    vocab_size: usize,
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(alias = "n_inner")]
    intermediate_size: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
}

impl ConfigFile {
    fn body(&self) -> Result<Body, Invalid> {
        let is_gpt2 = self.model_type.as_deref().is_none_or(|it| it == "gpt2");
        let n_embd = self.hidden_size as f64;
        let n_heads = self.num_attention_heads as f64;
        let n_groups = self.num_key_value_heads.map_or(n_heads, |n| n as f64);
        let head_dim = self.head_dim.map_or(n_embd / n_heads, |n| n as f64);
        let shape = Shape {
            n_embd,
            query_width: n_heads * head_dim,
            key_value_width: n_groups * head_dim,
            inner: self.intermediate_size.map_or(4.0 * n_embd, |n| n as f64),
            n_inner_products: if is_gpt2 { 2.0 } else { 3.0 },
            n_layer: self.num_hidden_layers,
            n_words: self.vocab_size as f64,
        };
        Body::new(shape, self.max_position_embeddings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_name_their_sizes_in_their_own_words() {
        let llama = br#"{"model_type": "llama", "vocab_size": 49152,
            "hidden_size": 576, "num_hidden_layers": 30,
            "num_attention_heads": 9, "num_key_value_heads": 3,
            "intermediate_size": 1536, "max_position_embeddings": 2048}"#;
        let llama = Body::of_config(llama).unwrap();
        let shape = llama.shape();
        assert_eq!((shape.query_width, shape.key_value_width), (576.0, 192.0));
        assert_eq!((shape.n_inner_products, shape.inner), (3.0, 1536.0));
        assert_eq!(llama.n_positions(), 2048);
        let millions = llama.n_weights() / 1e6;
        assert!(
            (134.0..135.0).contains(&millions),
            "SmolLM2-135M: {millions}"
        );

        let gpt2 = br#"{"vocab_size": 50257, "n_embd": 256, "n_layer": 1,
            "n_head": 4, "n_positions": 512, "n_inner": null}"#;
        let random = RandomBackbone::default();
        assert_eq!(Body::of_config(gpt2).unwrap(), Body::from(&random));
    }

    #[test]
    fn sizes_that_no_model_has_are_refused_by_name() {
        let refused = |config: &str| {
            Body::of_config(config.as_bytes()).unwrap_err().to_string()
        };
        let config = |n_layer: usize, n_head: usize, n_positions: usize| {
            format!(
                r#"{{"vocab_size": 9, "n_embd": 8, "n_layer": {n_layer},
                "n_head": {n_head}, "n_positions": {n_positions}}}"#
            )
        };
        assert!(Body::of_config(config(1, 2, 16).as_bytes()).is_ok());
        assert!(refused(&config(1 << 40, 2, 16)).contains("n_layer"));
        assert!(refused(&config(1, 0, 16)).contains("query_width"));
        assert!(refused(&config(1, 2, 3)).contains("n_positions"));
        assert!(refused(r#"{"model_type": "llama"}"#).contains("vocab_size"));
    }
}
