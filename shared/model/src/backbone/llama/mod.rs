//! The Llama family as one readable file (reference: `transformers.LlamaModel`,
//! and what `Qwen2`, `Qwen3` and `Mistral` change of it): forward, and the
//! gradient of its input.
//!
//! One block with switches: biases on queries, keys and values, a norm of each
//! head, heads of keys and values that several query heads share. As in
//! [`crate::backbone::gpt2`] the body is frozen, the gradient is written out,
//! and the test at the foot holds it against autodiff.

/// Its shape.
pub(crate) mod config;
/// Rotary positions.
pub(crate) mod rope;
/// Its weights by name, read and written.
mod weights;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::kernels::{
    self, Attended, Attention, FirstHeads, HeadCounts, Rotation,
};
use crate::backbone::layers::{Columns, Linear, RmsNorm};
use crate::backbone::layout::{Layout, Queries, only};
use crate::backbone::llama::config::LlamaConfig;
use crate::backbone::llama::rope::{BatchRotations, Rotations};
use crate::error::Error;

/// Token embeddings, blocks, final norm, and a head of its own where it is not
/// the embeddings.
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

/// One transformer block: attention and MLP, each behind a norm and around a
/// residual.
#[derive(Module, Debug)]
pub(crate) struct Block {
    /// The norm before attention.
    pub(crate) input_layernorm: RmsNorm,
    /// Query, key and value projections in one, `[embed, query width + 2 key
    /// width]`.
    pub(crate) qkv_proj: Linear,
    /// The norm of each head of the queries `[head_dim]`, in families that have
    /// one.
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
pub(crate) struct KeptActivations<'a> {
    blocks: Vec<KeptBlock<'a>>,
    /// How far heads were turned.
    rotations: BatchRotations,
    /// What went into the final norm `[read, embed]`.
    last: Tensor<2>,
}

/// The inputs of a block's norms, attention and activation; the way back
/// recomputes the rest.
struct KeptBlock<'a> {
    attention: KeptAttention<'a>,
    /// Between attention and MLP `[queries, embed]`.
    middle: Tensor<2>,
    /// What went into the activation: gate, then up `[queries, 2 inner]`.
    gate_up: Tensor<2>,
}

/// The inputs and outputs of a block's attention.
struct KeptAttention<'a> {
    /// The positions that the block computed.
    asked: Queries<'a>,
    /// `[tokens, embed]`
    input: Tensor<2>,
    /// Heads before their norms; absent where they have none.
    raw: Option<Projected>,
    /// FirstHeads `[queries, query width]`.
    queries: Tensor<2>,
    /// FirstHeads keys, then values `[tokens, 2 key width]`.
    keys_values: Tensor<2>,
    attended: Attended,
}

/// Queries, keys and values of all heads, or their gradients.
#[derive(Clone)]
struct Projected {
    /// `[queries, query width]`
    queries: Tensor<2>,
    /// Keys, then values `[tokens, 2 key width]`.
    keys_values: Tensor<2>,
}

/// How far the heads of a block are turned.
struct Turns<'a> {
    of_queries: &'a Rotation,
    of_keys: &'a Rotation,
}

impl Llama {
    /// A Llama of this shape whose weights are still to be set.
    pub(crate) fn zeros(
        config: &LlamaConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let rope = config
            .rope()
            .map_err(|reason| Error::malformed("config.json", reason))?;
        let words = [config.vocab_size, config.hidden_size];
        let head = (!config.tie_word_embeddings)
            .then(|| Param::from_tensor(Tensor::zeros(words, device)));
        Ok(Self {
            embed_tokens: Param::from_tensor(Tensor::zeros(words, device)),
            layers: (0..config.num_hidden_layers)
                .map(|_| Block::zeros(config, device))
                .collect(),
            norm: RmsNorm::identity(
                config.hidden_size,
                config.rms_norm_eps,
                device,
            ),
            lm_head: head,
            rotations: rope.rotations(config.max_position_embeddings, device),
        })
    }

    /// Last hidden states of the positions that are read (reference:
    /// `LlamaModel.forward(inputs_embeds=…)`).
    ///
    /// Shapes: `embeddings [tokens, embed]`, documents one after the other as
    /// `layout` says → `[read, embed]`.
    pub(crate) fn forward(
        &self,
        embeddings: Tensor<2>,
        layout: &Layout,
    ) -> Tensor<2> {
        let rotations = self.rotations.of_batch(layout);
        let mut hidden = embeddings.cast(self.embed_tokens.val().dtype()); // [tokens, embed]
        for (number, block) in self.layers.iter().enumerate() {
            let asked = layout.queries(self.is_last(number));
            let turns = self.turns(number, &rotations);
            (hidden, _) = block.forward(hidden, asked, &turns);
        }
        self.norm.forward(hidden)
    }

    /// [`Self::forward`], with what [`Self::backward`] needs.
    pub(crate) fn forward_kept<'a>(
        &self,
        embeddings: Tensor<2>,
        layout: &'a Layout,
    ) -> (Tensor<2>, KeptActivations<'a>) {
        let rotations = self.rotations.of_batch(layout);
        let mut hidden = embeddings.cast(self.embed_tokens.val().dtype());
        let mut blocks = Vec::with_capacity(self.layers.len());
        for (number, block) in self.layers.iter().enumerate() {
            let asked = layout.queries(self.is_last(number));
            let turns = self.turns(number, &rotations);
            let (output, kept) = block.forward(hidden, asked, &turns);
            hidden = output;
            blocks.push(kept);
        }

        let normed = self.norm.forward(hidden.clone());
        let kept = KeptActivations {
            blocks,
            rotations,
            last: hidden,
        };
        (normed, kept)
    }

    /// Gradient of the embeddings at some packed rows, given that of the hidden
    /// states.
    ///
    /// Shapes: `d_hidden [read, embed]`, `wanted [wanted]` → `[wanted, embed]`.
    pub(crate) fn backward(
        &self,
        kept: KeptActivations<'_>,
        d_hidden: Tensor<2>,
        wanted: &Tensor<1, Int>,
    ) -> Tensor<2> {
        let d_hidden = d_hidden.cast(self.embed_tokens.val().dtype());
        let mut gradient = self.norm.backward(kept.last, d_hidden);
        let blocks = self.layers.iter().zip(kept.blocks);
        for (number, (block, kept_block)) in blocks.enumerate().rev() {
            let target = Target {
                turns: self.turns(number, &kept.rotations),
                wanted: (number == 0).then_some(wanted),
            };
            gradient = block.backward(kept_block, gradient, &target);
        }
        gradient
    }

    /// The matrix over whose rows the softmax of the words is taken `[vocab,
    /// embed]`.
    pub(crate) fn head(&self) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.val(),
            None => self.embed_tokens.val(),
        }
    }

    fn is_last(&self, block: usize) -> bool {
        block + 1 == self.layers.len()
    }

    fn turns<'a>(
        &self,
        block: usize,
        rotations: &'a BatchRotations,
    ) -> Turns<'a> {
        let of_queries = if self.is_last(block) {
            &rotations.of_read
        } else {
            &rotations.of_tokens
        };
        Turns {
            of_queries,
            of_keys: &rotations.of_tokens,
        }
    }
}

/// What the gradient of a block is taken through, and where it is wanted.
struct Target<'a> {
    turns: Turns<'a>,
    /// Rows of the block's input; all of them where absent `[wanted]`.
    wanted: Option<&'a Tensor<1, Int>>,
}

impl Block {
    fn zeros(config: &LlamaConfig, device: &Device) -> Self {
        let (embed, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key) = (config.query_width(), config.key_value_width());
        Self {
            input_layernorm: norm(embed, config, device),
            qkv_proj: if config.has_qkv_bias() {
                Linear::zeros([embed, query + 2 * key], device)
            } else {
                Linear::zeros_without_bias([embed, query + 2 * key], device)
            },
            q_norm: head_norm(config, device),
            k_norm: head_norm(config, device),
            o_proj: if config.has_output_bias() {
                Linear::zeros([query, embed], device)
            } else {
                Linear::zeros_without_bias([query, embed], device)
            },
            post_attention_layernorm: norm(embed, config, device),
            gate_up_proj: Linear::zeros_without_bias(
                [embed, 2 * inner],
                device,
            ),
            down_proj: Linear::zeros_without_bias([inner, embed], device),
            n_query_heads: config.num_attention_heads,
            n_key_value_heads: config.n_key_value_heads(),
            head_dim: config.head_dim(),
        }
    }

    /// Computes the positions that are asked for. Shapes:
    /// `input [tokens, embed]` → `[queries, embed]`.
    fn forward<'a>(
        &self,
        input: Tensor<2>,
        asked: Queries<'a>,
        turns: &Turns<'_>,
    ) -> (Tensor<2>, KeptBlock<'a>) {
        let (middle, attention) = self.attention(input, asked, turns);
        let (output, gate_up) = self.mlp(middle.clone());
        let kept = KeptBlock {
            attention,
            middle,
            gate_up,
        };
        (output, kept)
    }

    /// Gradient of the block's input, at all rows or at the wanted ones.
    /// Shapes: `d_output [queries, embed]` → `[tokens, embed]`, or
    /// `[wanted, embed]`.
    fn backward(
        &self,
        kept: KeptBlock<'_>,
        d_output: Tensor<2>,
        target: &Target<'_>,
    ) -> Tensor<2> {
        let d_middle = self.mlp_backward(kept.middle, kept.gate_up, d_output);
        self.attention_backward(kept.attention, d_middle, target)
    }

    /// Attention behind its norm and around a residual. Shapes:
    /// `input [tokens, embed]` → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention<'a>(
        &self,
        input: Tensor<2>,
        asked: Queries<'a>,
        turns: &Turns<'_>,
    ) -> (Tensor<2>, KeptAttention<'a>) {
        let normed = self.input_layernorm.forward(input.clone()); // [tokens, embed]
        let at_queries = asked.gather(normed.clone()); // [queries, embed]
        let projected = Projected {
            queries: self.query().forward(at_queries),
            keys_values: self.key_value().forward(normed),
        };
        let raw = self.q_norm.is_some().then(|| projected.clone());
        let turned = self.turned(projected, turns);
        let attention = Attention {
            queries: turned.queries,
            keys_values: turned.keys_values,
            spans: asked.spans,
            heads: self.heads(),
        };

        let attended = kernels::attention(&attention);
        let mixed = self.o_proj.forward(attended.mixed.clone());
        let output = asked.gather(input.clone()) + mixed;

        let kept = KeptAttention {
            asked,
            input,
            raw,
            queries: attention.queries,
            keys_values: attention.keys_values,
            attended,
        };
        (output, kept)
    }

    /// Heads with their norms, turned to their positions.
    fn turned(&self, raw: Projected, turns: &Turns<'_>) -> Projected {
        let queries = match &self.q_norm {
            Some(norm) => norm.forward_heads(raw.queries, self.query_heads()),
            None => raw.queries,
        };
        let keys_values = match &self.k_norm {
            Some(norm) => norm.forward_heads(raw.keys_values, self.key_heads()),
            None => raw.keys_values,
        };
        Projected {
            queries: kernels::rotate(
                queries,
                turns.of_queries,
                self.query_heads(),
            ),
            keys_values: kernels::rotate(
                keys_values,
                turns.of_keys,
                self.key_heads(),
            ),
        }
    }

    /// Gradient of attention's input, through the norm and the residual.
    /// Shapes: `d_output [queries, embed]` → `[tokens, embed]`, or
    /// `[wanted, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention_backward(
        &self,
        kept: KeptAttention<'_>,
        d_output: Tensor<2>,
        target: &Target<'_>,
    ) -> Tensor<2> {
        let (asked, wanted) = (kept.asked, target.wanted);
        let d_mixed = self.o_proj.backward(d_output.clone()); // [queries, query width]
        let attention = Attention {
            queries: kept.queries,
            keys_values: kept.keys_values,
            spans: asked.spans,
            heads: self.heads(),
        };
        let gradients =
            kernels::attention_backward(&attention, kept.attended, d_mixed);
        let turned = Projected {
            queries: gradients.queries,
            keys_values: gradients.keys_values,
        };
        let projected = self.turned_backward(turned, kept.raw, &target.turns);

        let d_queries = only(asked.scatter(projected.queries), wanted);
        let d_keys_values = only(projected.keys_values, wanted);
        let d_normed = self.query().backward(d_queries);
        let d_normed = self.key_value().backward_onto(d_normed, d_keys_values);

        let input = only(kept.input, wanted);
        let d_input = self.input_layernorm.backward(input, d_normed);
        only(asked.scatter(d_output), wanted) + d_input
    }

    /// The gradients of heads before their norms and rotations, given those
    /// after.
    fn turned_backward(
        &self,
        turned: Projected,
        raw: Option<Projected>,
        turns: &Turns<'_>,
    ) -> Projected {
        let of_queries = turns.of_queries.inverse();
        let of_keys = turns.of_keys.inverse();
        let queries =
            kernels::rotate(turned.queries, &of_queries, self.query_heads());
        let keys_values =
            kernels::rotate(turned.keys_values, &of_keys, self.key_heads());
        let (Some(raw), Some(q_norm), Some(k_norm)) =
            (raw, &self.q_norm, &self.k_norm)
        else {
            return Projected {
                queries,
                keys_values,
            };
        };
        Projected {
            queries: q_norm.backward_heads(
                raw.queries,
                queries,
                self.query_heads(),
            ),
            keys_values: k_norm.backward_heads(
                raw.keys_values,
                keys_values,
                self.key_heads(),
            ),
        }
    }

    /// The output, and what its activation got. Shapes: `[queries, embed]` →
    /// `[queries, embed]`, `[queries, 2 inner]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp(&self, input: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let normed = self.post_attention_layernorm.forward(input.clone());
        let gate_up = self.gate_up_proj.forward(normed);
        let output = self.down_proj.forward(kernels::swiglu(gate_up.clone()));
        (input + output, gate_up)
    }

    /// Shapes: `input [queries, embed]`, `gate_up [queries, 2 inner]`,
    /// `d_output [queries, embed]` → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp_backward(
        &self,
        input: Tensor<2>,
        gate_up: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
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

fn norm(width: usize, config: &LlamaConfig, device: &Device) -> RmsNorm {
    RmsNorm::identity(width, config.rms_norm_eps, device)
}

/// The norm of each head, in families that have one.
fn head_norm(config: &LlamaConfig, device: &Device) -> Option<RmsNorm> {
    let has_one = config.has_head_norms();
    has_one.then(|| norm(config.head_dim(), config, device))
}
