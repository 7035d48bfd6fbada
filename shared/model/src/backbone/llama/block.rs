//! One block of the Llama family (reference: `LlamaDecoderLayer`): forward, and
//! the gradient of its input.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::kernels::{
    self, Attended, Attention, FirstHeads, HeadCounts, Rotation,
};
use crate::backbone::layers::{Columns, Linear, RmsNorm};
use crate::backbone::layout::{Queries, only};
use crate::backbone::llama::config::LlamaConfig;

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
    pub(crate) n_query_heads: usize,
    pub(crate) n_key_value_heads: usize,
    pub(crate) head_dim: usize,
}

/// The inputs of a block's norms, attention and activation; the way back
/// recomputes the rest.
pub(crate) struct KeptBlock<'a> {
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
pub(crate) struct Turns<'a> {
    pub(crate) of_queries: &'a Rotation,
    pub(crate) of_keys: &'a Rotation,
}

/// What the gradient of a block is taken through, and where it is wanted.
pub(crate) struct Target<'a> {
    pub(crate) turns: Turns<'a>,
    /// Rows of the block's input; all of them where absent `[wanted]`.
    pub(crate) wanted: Option<&'a Tensor<1, Int>>,
}

impl Block {
    pub(crate) fn zeros(config: &LlamaConfig, device: &Device) -> Self {
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

    /// The layers whose weights can be packed: all but the norms.
    pub(crate) fn linears(&self) -> [&Linear; 4] {
        [
            &self.qkv_proj,
            &self.o_proj,
            &self.gate_up_proj,
            &self.down_proj,
        ]
    }

    /// [`Self::linears`], to be changed.
    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [
            &mut self.qkv_proj,
            &mut self.o_proj,
            &mut self.gate_up_proj,
            &mut self.down_proj,
        ]
    }

    /// Computes the positions that are asked for. Shapes:
    /// `input [tokens, embed]` → `[queries, embed]`.
    pub(crate) fn forward<'a>(
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
    pub(crate) fn backward(
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
        let residual = asked.gather(input.clone());
        let output = self.o_proj.forward_onto(residual, attended.mixed.clone());

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
        let d_residual = only(asked.scatter(d_output), wanted);
        self.input_layernorm
            .backward_onto(d_residual, input, d_normed)
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
        let active = kernels::swiglu(gate_up.clone());
        (self.down_proj.forward_onto(input, active), gate_up)
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
        let norm = &self.post_attention_layernorm;
        norm.backward_onto(d_output, input, d_normed)
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

    /// The keys are turned, the values beside them are not.
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
