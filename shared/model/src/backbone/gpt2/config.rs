//! A GPT-2's shape (reference: `transformers.GPT2Config`).

use domain::Shape;
use serde::{Deserialize, Serialize};

use crate::backbone::bounds::{Size, check_epsilon, check_sizes};

/// Shape of a GPT-2. Field names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gpt2Config {
    /// Words in the vocabulary, V.
    pub(crate) vocab_size: usize,
    /// The length of the longest sequence, in tokens.
    pub(crate) n_positions: usize,
    /// Width of the embeddings, K.
    pub(crate) n_embd: usize,
    /// How many transformer blocks there are.
    pub(crate) n_layer: usize,
    /// Attention heads; divides `n_embd`.
    pub(crate) n_head: usize,
    /// Width inside the MLP; 4 K where absent.
    #[serde(default)]
    n_inner: Option<usize>,
    /// What the layer norms add to the variance, so that its root is not 0.
    #[serde(default = "default_epsilon")]
    pub(crate) layer_norm_epsilon: f64,
    /// Only `gelu_new` (the tanh approximation) is GPT-2.
    #[serde(default = "default_activation")]
    activation_function: String,
    /// A variant of attention that is not computed here.
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    /// Attention scores are divided by the root of the head's width; GPT-2
    /// always does.
    #[serde(default = "default_true")]
    scale_attn_weights: bool,
    /// The head is the word embeddings themselves; GPT-2's always is.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    tie_word_embeddings: bool,
    /// Always `gpt2`, for programs that read the file.
    #[serde(default = "default_model_type")]
    model_type: String,
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

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_true(value: &bool) -> bool {
    *value
}

fn default_model_type() -> String {
    "gpt2".to_owned()
}

/// The sizes in which GPT-2s differ.
pub(crate) struct Sizes {
    pub(crate) vocab_size: usize,
    pub(crate) n_positions: usize,
    pub(crate) n_embd: usize,
    pub(crate) n_layer: usize,
    pub(crate) n_head: usize,
}

impl Gpt2Config {
    /// A GPT-2 of these sizes with the usual details.
    pub(crate) fn new(sizes: &Sizes) -> Self {
        Self {
            vocab_size: sizes.vocab_size,
            n_positions: sizes.n_positions,
            n_embd: sizes.n_embd,
            n_layer: sizes.n_layer,
            n_head: sizes.n_head,
            n_inner: None,
            layer_norm_epsilon: default_epsilon(),
            activation_function: default_activation(),
            scale_attn_by_inverse_layer_idx: false,
            scale_attn_weights: true,
            tie_word_embeddings: true,
            model_type: default_model_type(),
        }
    }

    /// Says what is wrong with it, or what of it is not computed here.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.activation_function != "gelu_new" {
            return Err(format!(
                "activation_function is `{}`; only `gelu_new` is supported",
                self.activation_function
            ));
        }
        if self.scale_attn_by_inverse_layer_idx || !self.scale_attn_weights {
            return Err(
                "only attention scaled by the head's width alone is supported"
                    .to_owned(),
            );
        }
        if !self.tie_word_embeddings {
            return Err(
                "tie_word_embeddings is false; only a GPT-2 whose head is its \
                 word embeddings is supported"
                    .to_owned(),
            );
        }
        check_epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        check_sizes(&self.sizes())?;
        if !self.n_embd.is_multiple_of(self.n_head) {
            return Err(format!(
                "n_head = {} does not divide n_embd = {}; take the config.json \
                 of the same checkpoint",
                self.n_head, self.n_embd
            ));
        }
        Ok(())
    }

    /// The sizes that memory is taken for, each with more than any model has.
    fn sizes(&self) -> [Size; 6] {
        let size = |name, value, most| Size { name, value, most };
        let inner = self.n_inner.unwrap_or(self.n_embd);
        [
            size("vocab_size", self.vocab_size, 1 << 22),
            size("n_positions", self.n_positions, 1 << 21),
            size("n_embd", self.n_embd, 1 << 16),
            size("n_inner", inner, 1 << 18),
            size("n_layer", self.n_layer, 1 << 10),
            size("n_head", self.n_head, 1 << 10),
        ]
    }

    /// Width inside the MLP.
    pub(crate) fn inner(&self) -> usize {
        self.n_inner.unwrap_or(4 * self.n_embd)
    }

    /// The sizes that the cost of a pass follows from.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            n_embd: self.n_embd as f64,
            query_width: self.n_embd as f64,
            key_value_width: self.n_embd as f64,
            inner: self.inner() as f64,
            n_inner_products: 2.0,
            n_layer: self.n_layer,
            n_words: self.vocab_size as f64,
        }
    }
}
