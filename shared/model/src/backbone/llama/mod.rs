//! The Llama family as one readable file (reference: `transformers.LlamaModel`, and what `Qwen2`,
//! `Qwen3` and `Mistral` change of it): forward, and the gradient of its input.
//!
//! One block with switches: biases on queries, keys and values, a norm of each head, heads of keys
//! and values that several query heads share. As in [`crate::backbone::gpt2`] the body is frozen,
//! the gradient is written out, and the test at the foot holds it against autodiff.

/// Its shape.
pub(crate) mod config;
/// Rotary positions.
pub(crate) mod rope;
/// Its weights by name, read and written.
mod weights;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::kernels::{self, Attended, Attention, FirstHeads, HeadCounts, Rotation};
use crate::backbone::layers::{Columns, Linear, RmsNorm};
use crate::backbone::layout::{Layout, Queries, only};
use crate::backbone::llama::config::LlamaConfig;
use crate::backbone::llama::rope::{BatchRotations, Rotations};
use crate::error::Error;

/// Token embeddings, blocks, final norm, and a head of its own where it is not the embeddings.
#[derive(Module, Debug)]
pub(crate) struct Llama {
    /// Word embeddings `[vocab, embed]`.
    pub(crate) embed_tokens: Param<Tensor<2>>,
    /// The transformer blocks.
    pub(crate) layers: Vec<Block>,
    /// The final norm.
    pub(crate) norm: RmsNorm,
    /// The head's rows `[vocab, embed]`; absent where they are the embeddings.
    pub(crate) lm_head: Option<Param<Tensor<2>>>,
    /// Rotations at every position; constants, not weights.
    #[module(skip)]
    rotations: Rotations,
}

/// One transformer block: attention and MLP, each behind a norm and around a residual.
#[derive(Module, Debug)]
pub(crate) struct Block {
    /// The norm before attention.
    pub(crate) input_layernorm: RmsNorm,
    /// Query, key and value projections in one, `[embed, query width + 2 key width]`.
    pub(crate) qkv_proj: Linear,
    /// The norm of each head of the queries `[head_dim]`, in families that have one.
    pub(crate) q_norm: Option<RmsNorm>,
    /// The norm of each head of the keys `[head_dim]`.
    pub(crate) k_norm: Option<RmsNorm>,
    /// Attention's output, `[query width, embed]`.
    pub(crate) o_proj: Linear,
    /// The norm before the MLP.
    pub(crate) post_attention_layernorm: RmsNorm,
    /// Gate and up projections in one, `[embed, 2 inner]`.
    pub(crate) gate_up_proj: Linear,
    /// Out of the MLP, `[inner, embed]`.
    pub(crate) down_proj: Linear,
    n_query_heads: usize,
    n_key_value_heads: usize,
    head_dim: usize,
}

/// What [`Llama::backward`] needs of a forward pass.
pub(crate) struct KeptActivations {
    blocks: Vec<KeptBlock>,
    /// What went into the final norm `[read, embed]`.
    last: Tensor<2>,
}

/// The inputs of a block's norms, attention and activation; the way back recomputes the rest.
struct KeptBlock {
    attention: KeptAttention,
    /// Between attention and MLP `[queries, embed]`.
    middle: Tensor<2>,
    /// What went into the activation: gate, then up `[queries, 2 inner]`.
    gate_up: Tensor<2>,
}

/// The inputs and outputs of a block's attention.
struct KeptAttention {
    /// `[tokens, embed]`
    input: Tensor<2>,
    /// Queries before their norm; absent where heads have none.
    raw: Option<RawHeads>,
    /// FirstHeads `[queries, query width]`.
    queries: Tensor<2>,
    /// FirstHeads keys, then values `[tokens, 2 key width]`.
    keys_values: Tensor<2>,
    attended: Attended,
}

/// Heads as they leave their projections, before norms and rotations.
#[derive(Clone)]
struct RawHeads {
    /// `[queries, query width]`
    queries: Tensor<2>,
    /// Keys, then values `[tokens, 2 key width]`.
    keys_values: Tensor<2>,
}

/// Where a block computes, and how far its heads are turned there.
struct Place<'a> {
    queries: Queries<'a>,
    of_queries: &'a Rotation,
    of_keys: &'a Rotation,
}

impl Llama {
    /// A Llama of this shape whose weights are still to be set.
    pub(crate) fn zeros(config: &LlamaConfig, device: &Device) -> Result<Self, Error> {
        let rope = config
            .rope()
            .map_err(|reason| Error::malformed("config.json", reason))?;
        let words = [config.vocab_size, config.hidden_size];
        let head =
            (!config.tie_word_embeddings).then(|| Param::from_tensor(Tensor::zeros(words, device)));
        Ok(Self {
            embed_tokens: Param::from_tensor(Tensor::zeros(words, device)),
            layers: (0..config.num_hidden_layers)
                .map(|_| Block::zeros(config, device))
                .collect(),
            norm: RmsNorm::identity(config.hidden_size, config.rms_norm_eps, device),
            lm_head: head,
            rotations: rope.rotations(config.max_position_embeddings, device),
        })
    }

    /// Last hidden states of the positions that are read (reference:
    /// `LlamaModel.forward(inputs_embeds=…)`).
    ///
    /// Shapes: `embeddings [tokens, embed]`, documents one after the other as `layout` says →
    /// `[read, embed]`.
    pub(crate) fn forward(&self, embeddings: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let rotations = self.rotations.of_batch(layout);
        let mut hidden = embeddings.cast(self.embed_tokens.val().dtype()); // [tokens, embed]
        for (number, block) in self.layers.iter().enumerate() {
            hidden = block
                .forward(hidden, &self.place(number, layout, &rotations))
                .0;
        }
        self.norm.forward(hidden)
    }

    /// [`Self::forward`], with what [`Self::backward`] needs.
    pub(crate) fn forward_kept(
        &self,
        embeddings: Tensor<2>,
        layout: &Layout,
    ) -> (Tensor<2>, KeptActivations) {
        let rotations = self.rotations.of_batch(layout);
        let mut hidden = embeddings.cast(self.embed_tokens.val().dtype());
        let mut blocks = Vec::with_capacity(self.layers.len());
        for (number, block) in self.layers.iter().enumerate() {
            let (output, kept) = block.forward(hidden, &self.place(number, layout, &rotations));
            hidden = output;
            blocks.push(kept);
        }
        let normed = self.norm.forward(hidden.clone());
        let last = hidden;
        (normed, KeptActivations { blocks, last })
    }

    /// Gradient of the embeddings at some packed rows, given that of the hidden states.
    ///
    /// Shapes: `d_hidden [read, embed]`, `wanted [wanted]` → `[wanted, embed]`.
    pub(crate) fn backward(
        &self,
        kept: KeptActivations,
        layout: &Layout,
        d_hidden: Tensor<2>,
        wanted: &Tensor<1, Int>,
    ) -> Tensor<2> {
        let rotations = self.rotations.of_batch(layout);
        let d_hidden = d_hidden.cast(self.embed_tokens.val().dtype());
        let mut gradient = self.norm.backward(kept.last, d_hidden);
        for (number, (block, kept)) in self.layers.iter().zip(kept.blocks).enumerate().rev() {
            let wanted = (number == 0).then_some(wanted);
            let place = self.place(number, layout, &rotations);
            gradient = block.backward(kept, &place, gradient, wanted);
        }
        gradient
    }

    /// The matrix over whose rows the softmax of the words is taken `[vocab, embed]`.
    pub(crate) fn head(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.val(),
            None => self.embed_tokens.val(),
        }
    }

    fn place<'a>(
        &self,
        block: usize,
        layout: &'a Layout,
        rotations: &'a BatchRotations,
    ) -> Place<'a> {
        let is_last = block + 1 == self.layers.len();
        Place {
            queries: layout.queries(is_last),
            of_queries: if is_last {
                &rotations.of_read
            } else {
                &rotations.of_tokens
            },
            of_keys: &rotations.of_tokens,
        }
    }
}

impl Block {
    fn zeros(config: &LlamaConfig, device: &Device) -> Self {
        let (embed, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key) = (config.query_width(), config.key_value_width());
        let norm = |width: usize| RmsNorm::identity(width, config.rms_norm_eps, device);
        let head_norm = || config.has_head_norms().then(|| norm(config.head_dim()));
        let biased = |shape: [usize; 2], has_bias: bool| match has_bias {
            true => Linear::zeros(shape, device),
            false => Linear::zeros_without_bias(shape, device),
        };
        Self {
            input_layernorm: norm(embed),
            qkv_proj: biased([embed, query + 2 * key], config.has_qkv_bias()),
            q_norm: head_norm(),
            k_norm: head_norm(),
            o_proj: biased([query, embed], config.has_output_bias()),
            post_attention_layernorm: norm(embed),
            gate_up_proj: biased([embed, 2 * inner], false),
            down_proj: biased([inner, embed], false),
            n_query_heads: config.num_attention_heads,
            n_key_value_heads: config.n_key_value_heads(),
            head_dim: config.head_dim(),
        }
    }

    /// Shapes: `input [tokens, embed]` → `[queries, embed]`.
    fn forward(&self, input: Tensor<2>, place: &Place<'_>) -> (Tensor<2>, KeptBlock) {
        let (middle, attention) = self.attention(input, place);
        let (output, gate_up) = self.mlp(middle.clone());
        let kept = KeptBlock {
            attention,
            middle,
            gate_up,
        };
        (output, kept)
    }

    /// Shapes: `d_output [queries, embed]` → `[tokens, embed]`, or `[wanted, embed]`.
    fn backward(
        &self,
        kept: KeptBlock,
        place: &Place<'_>,
        d_output: Tensor<2>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let d_middle = self.mlp_backward(kept.middle, kept.gate_up, d_output);
        self.attention_backward(kept.attention, place, d_middle, wanted)
    }

    /// Shapes: `input [tokens, embed]` → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention(&self, input: Tensor<2>, place: &Place<'_>) -> (Tensor<2>, KeptAttention) {
        let normed = self.input_layernorm.forward(input.clone()); // [tokens, embed]
        let asked = place.queries.gather(normed.clone()); // [queries, embed]
        let raw = RawHeads {
            queries: self.query().forward(asked), // [queries, query width]
            keys_values: self.key_value().forward(normed), // [tokens, 2 key width]
        };
        let kept_raw = self.q_norm.is_some().then(|| raw.clone());
        let attention = self.turned(raw, place);
        let attended = kernels::attention(&attention);
        let mixed = self.o_proj.forward(attended.mixed.clone());
        let output = place.queries.gather(input.clone()) + mixed;
        let kept = KeptAttention {
            input,
            raw: kept_raw,
            queries: attention.queries,
            keys_values: attention.keys_values,
            attended,
        };
        (output, kept)
    }

    /// Heads with their norms, turned to their positions.
    fn turned<'a>(&self, raw: RawHeads, place: &Place<'a>) -> Attention<'a> {
        let queries = match &self.q_norm {
            Some(norm) => norm.forward_heads(raw.queries, self.query_heads()),
            None => raw.queries,
        };
        let keys_values = match &self.k_norm {
            Some(norm) => norm.forward_heads(raw.keys_values, self.key_heads()),
            None => raw.keys_values,
        };
        Attention {
            queries: kernels::rotate(queries, place.of_queries, self.query_heads()),
            keys_values: kernels::rotate(keys_values, place.of_keys, self.key_heads()),
            spans: place.queries.spans,
            heads: self.heads(),
        }
    }

    /// Shapes: `d_output [queries, embed]` → `[tokens, embed]`, or `[wanted, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention_backward(
        &self,
        kept: KeptAttention,
        place: &Place<'_>,
        d_output: Tensor<2>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let d_mixed = self.o_proj.backward(d_output.clone()); // [queries, query width]
        let attention = Attention {
            queries: kept.queries,
            keys_values: kept.keys_values,
            spans: place.queries.spans,
            heads: self.heads(),
        };
        let gradients = kernels::attention_backward(&attention, kept.attended, d_mixed);
        let turned = RawHeads {
            queries: gradients.queries,
            keys_values: gradients.keys_values,
        };
        let raw = self.turned_backward(turned, kept.raw, place);
        let d_queries = only(place.queries.scatter(raw.queries), wanted);
        let d_keys_values = only(raw.keys_values, wanted);
        let d_normed = self.query().backward(d_queries);
        let d_normed = self.key_value().backward_onto(d_normed, d_keys_values);
        let d_input = self
            .input_layernorm
            .backward(only(kept.input, wanted), d_normed);
        only(place.queries.scatter(d_output), wanted) + d_input
    }

    /// The gradients of heads before their norms and rotations, given those after.
    fn turned_backward(
        &self,
        turned: RawHeads,
        raw: Option<RawHeads>,
        place: &Place<'_>,
    ) -> RawHeads {
        let (of_queries, of_keys) = (place.of_queries.inverse(), place.of_keys.inverse());
        let queries = kernels::rotate(turned.queries, &of_queries, self.query_heads());
        let keys_values = kernels::rotate(turned.keys_values, &of_keys, self.key_heads());
        let (Some(raw), Some(q_norm), Some(k_norm)) = (raw, &self.q_norm, &self.k_norm) else {
            return RawHeads {
                queries,
                keys_values,
            };
        };
        RawHeads {
            queries: q_norm.backward_heads(raw.queries, queries, self.query_heads()),
            keys_values: k_norm.backward_heads(raw.keys_values, keys_values, self.key_heads()),
        }
    }

    /// The output, and what its activation got. Shapes: `[queries, embed]` → `[queries, embed]`,
    /// `[queries, 2 inner]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp(&self, input: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let normed = self.post_attention_layernorm.forward(input.clone());
        let gate_up = self.gate_up_proj.forward(normed);
        let output = self.down_proj.forward(kernels::swiglu(gate_up.clone()));
        (input + output, gate_up)
    }

    /// Shapes: `input [queries, embed]`, `gate_up [queries, 2 inner]`, `d_output [queries, embed]`
    /// → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp_backward(&self, input: Tensor<2>, gate_up: Tensor<2>, d_output: Tensor<2>) -> Tensor<2> {
        let d_active = self.down_proj.backward(d_output.clone());
        let d_gate_up = kernels::swiglu_backward(gate_up, d_active);
        let d_normed = self.gate_up_proj.backward(d_gate_up);
        d_output + self.post_attention_layernorm.backward(input, d_normed)
    }

    fn heads(&self) -> HeadCounts {
        HeadCounts {
            n_query: self.n_query_heads,
            n_key_value: self.n_key_value_heads,
        }
    }

    /// All heads of the queries are turned.
    fn query_heads(&self) -> FirstHeads {
        FirstHeads {
            n_heads: self.n_query_heads,
            head_dim: self.head_dim,
        }
    }

    /// Of keys and values side by side the keys are turned.
    fn key_heads(&self) -> FirstHeads {
        FirstHeads {
            n_heads: self.n_key_value_heads,
            head_dim: self.head_dim,
        }
    }

    fn query_width(&self) -> usize {
        self.n_query_heads * self.head_dim
    }

    /// The first columns of `qkv_proj`.
    fn query(&self) -> Columns {
        self.qkv_proj.columns(0..self.query_width())
    }

    /// The other columns of `qkv_proj`.
    fn key_value(&self) -> Columns {
        let [_, n_columns] = self.qkv_proj.weight.val().dims();
        self.qkv_proj.columns(self.query_width()..n_columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::ModuleMapper;
    use burn::tensor::Distribution;

    use crate::backbone::host::{index_tensor, to_index, to_vec};
    use crate::device::{available_devices, compute_device};
    use crate::tokens::packing::{Reading, TokenBatch};
    use crate::tokens::prompt::Token;

    /// Draws every weight anew.
    struct Draw;

    impl ModuleMapper for Draw {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let drawn = tensor.random_like(Distribution::Uniform(-0.3, 0.3));
            Param::from_mapped_value(id, drawn, mapper)
        }
    }

    fn config(model_type: &str) -> LlamaConfig {
        let config = serde_json::json!({
            "model_type": model_type, "vocab_size": 32, "hidden_size": 24, "head_dim": 8,
            "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 16,
        });
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn the_closed_form_gradient_is_that_of_autodiff() {
        for name in available_devices() {
            let device = compute_device(&name).unwrap().device;
            for model_type in ["llama", "qwen2", "qwen3"] {
                let llama = Llama::zeros(&config(model_type), &device).unwrap();
                check_gradient(&llama.map(&mut Draw), &device);
            }
        }
    }

    fn check_gradient(llama: &Llama, device: &Device) {
        let mut documents = Vec::new();
        for (n_words, n_read) in [(8, 5), (1, 1), (13, 1)] {
            let tokens = [
                vec![Token::Item(0)],
                (0..n_words).map(Token::Word).collect(),
            ]
            .concat();
            documents.push(Reading { tokens, n_read });
        }
        let batch = TokenBatch::new(&documents, 16, device);
        let uniform = Distribution::Uniform(-1.0, 1.0);
        let embeddings = Tensor::<2>::random([batch.n_tokens, 24], uniform, device);
        let (hidden, kept) = llama.forward_kept(embeddings.clone(), &batch.layout);
        let d_hidden = Tensor::<2>::random(hidden.dims(), uniform, device);
        let soft = batch.soft.iter().map(|&(row, _)| to_index(row)).collect();
        let wanted = index_tensor(soft, device);
        let found = llama.backward(kept, &batch.layout, d_hidden.clone(), &wanted);

        let leaf = embeddings.autodiff().require_grad();
        let twin = llama.forward(leaf.clone(), &batch.layout);
        assert_close(&to_vec(twin.clone().inner()), &to_vec(hidden));
        let mut gradients = (twin * d_hidden.autodiff()).sum().backward();
        let expected = leaf.grad_remove(&mut gradients).unwrap().select(0, wanted);
        assert_close(&to_vec(found), &to_vec(expected));
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        let largest = expected
            .iter()
            .fold(1e-6_f32, |largest, x| largest.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found - expected).abs();
            assert!(difference < 1e-5 * largest, "{found} {expected}");
        }
    }
}
