//! GPT-2 as one readable file (reference: `transformers.GPT2Model`): forward,
//! and the gradient of its input.
//!
//! The body is frozen, so only the input's gradient is wanted, and it has a
//! closed form for each step of a block. Written out it keeps ten rows of the
//! embedding's width for each token and block, and frees them as it goes back;
//! the test in `decoder.rs` holds it against autodiff. A backbone that still learns
//! (the warm-up) goes through the same forward on an autodiff device.

/// The shape of a GPT-2.
pub(crate) mod config;
/// Weights that are drawn at random.
pub(crate) mod random;
/// The weights by their names, read and written.
pub(crate) mod weights;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::gpt2::config::Gpt2Config;
use crate::backbone::kernels::{self, Attended, Attention, HeadCounts};
use crate::backbone::layers::{Columns, LayerNorm, Linear};
use crate::backbone::layout::{Layout, Queries, only};

/// Token and position embeddings, blocks, final layer norm. The head is `wte`
/// itself.
#[derive(Module, Debug)]
pub(crate) struct Gpt2 {
    /// Word embeddings `[vocab, embed]`, tied with the vocabulary head.
    pub(crate) wte: Param<Tensor<2>>,
    /// Position embeddings `[positions, embed]`.
    pub(crate) wpe: Param<Tensor<2>>,
    /// The transformer blocks (`h` in the reference).
    pub(crate) h: Vec<Block>,
    /// The final layer norm.
    pub(crate) ln_f: LayerNorm,
}

/// One transformer block: attention and MLP, each behind a layer norm and
/// around a residual.
#[derive(Module, Debug)]
pub(crate) struct Block {
    /// The layer norm before attention.
    pub(crate) ln_1: LayerNorm,
    /// Query, key and value in one `[embed, 3 embed]`.
    pub(crate) c_attn: Linear,
    /// The output projection of attention `[embed, embed]`.
    pub(crate) attn_proj: Linear,
    /// The layer norm before the MLP.
    pub(crate) ln_2: LayerNorm,
    /// The projection into the MLP `[embed, inner]`.
    pub(crate) c_fc: Linear,
    /// The projection out of the MLP `[inner, embed]`.
    pub(crate) mlp_proj: Linear,
    /// Attention heads; as many for keys and values as for queries.
    n_head: usize,
}

/// What [`Gpt2::backward`] needs of a forward pass.
pub(crate) struct KeptActivations<'a> {
    blocks: Vec<KeptBlock<'a>>,
    /// What went into the final layer norm `[read, embed]`.
    last: Tensor<2>,
}

/// The inputs of a block's layer norms, attention and activation; the way back
/// recomputes the rest.
struct KeptBlock<'a> {
    attention: KeptAttention<'a>,
    /// What attention handed to the MLP `[queries, embed]`.
    middle: Tensor<2>,
    /// What went into the activation `[queries, inner]`.
    inner: Tensor<2>,
}

/// The inputs and outputs of a block's attention.
struct KeptAttention<'a> {
    /// The positions that the block computed.
    asked: Queries<'a>,
    /// What went into the block `[tokens, embed]`.
    input: Tensor<2>,
    /// The queries of all heads `[queries, embed]`.
    queries: Tensor<2>,
    /// Keys, then values `[tokens, 2 embed]`.
    keys_values: Tensor<2>,
    attended: Attended,
}

impl Gpt2 {
    /// A GPT-2 of this shape whose weights are still to be set.
    pub(crate) fn zeros(config: &Gpt2Config, device: &Device) -> Self {
        let embed = config.n_embd;
        let mut blocks = Vec::with_capacity(config.n_layer);
        for _ in 0..config.n_layer {
            blocks.push(Block::zeros(config, device));
        }
        let epsilon = config.layer_norm_epsilon;
        Self {
            wte: zeros([config.vocab_size, embed], device),
            wpe: zeros([config.n_positions, embed], device),
            h: blocks,
            ln_f: LayerNorm::identity(embed, epsilon, device),
        }
    }

    /// Last hidden states of the positions that are read (reference:
    /// `GPT2Model.forward(inputs_embeds=…)`).
    ///
    /// Shapes: `embeddings [tokens, embed]` without positions, documents one
    /// after the other as `layout` says → `[read, embed]`.
    pub(crate) fn forward(
        &self,
        embeddings: Tensor<2>,
        layout: &Layout,
    ) -> Tensor<2> {
        let mut hidden = self.positioned(embeddings, layout); // [tokens, embed]
        for (number, block) in self.h.iter().enumerate() {
            let asked = self.queries(number, layout);
            (hidden, _) = block.forward(hidden, asked);
        }
        self.ln_f.forward(hidden)
    }

    /// [`Self::forward`], with what [`Self::backward`] needs.
    pub(crate) fn forward_kept<'a>(
        &self,
        embeddings: Tensor<2>,
        layout: &'a Layout,
    ) -> (Tensor<2>, KeptActivations<'a>) {
        let mut hidden = self.positioned(embeddings, layout);
        let mut blocks = Vec::with_capacity(self.h.len());
        for (number, block) in self.h.iter().enumerate() {
            let asked = self.queries(number, layout);
            let (output, kept) = block.forward(hidden, asked);
            hidden = output;
            blocks.push(kept);
        }

        let normed = self.ln_f.forward(hidden.clone());
        let last = hidden;
        (normed, KeptActivations { blocks, last })
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
        let d_hidden = d_hidden.cast(self.wte.val().dtype());
        let mut gradient = self.ln_f.backward(kept.last, d_hidden);
        let blocks = self.h.iter().zip(kept.blocks);
        for (number, (block, kept)) in blocks.enumerate().rev() {
            let wanted = (number == 0).then_some(wanted);
            gradient = block.backward(kept, gradient, wanted);
        }
        gradient
    }

    /// Memory of the packed weights, in bytes.
    pub(crate) fn packed_bytes(&self) -> usize {
        let linears = self.h.iter().flat_map(Block::linears);
        linears.map(Linear::packed_bytes).sum()
    }

    /// Adds the positions' embeddings, in the precision of the weights.
    fn positioned(&self, embeddings: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let positions = self.wpe.val().select(0, layout.positions.clone());
        embeddings.cast(positions.dtype()) + positions
    }

    fn queries<'a>(&self, block: usize, layout: &'a Layout) -> Queries<'a> {
        let is_last = block + 1 == self.h.len();
        layout.queries(is_last)
    }
}

fn zeros(shape: [usize; 2], device: &Device) -> Param<Tensor<2>> {
    Param::from_tensor(Tensor::zeros(shape, device))
}

impl Block {
    fn zeros(config: &Gpt2Config, device: &Device) -> Self {
        let (embed, inner) = (config.n_embd, config.inner());
        let epsilon = config.layer_norm_epsilon;
        Self {
            ln_1: LayerNorm::identity(embed, epsilon, device),
            c_attn: Linear::zeros([embed, 3 * embed], device),
            attn_proj: Linear::zeros([embed, embed], device),
            ln_2: LayerNorm::identity(embed, epsilon, device),
            c_fc: Linear::zeros([embed, inner], device),
            mlp_proj: Linear::zeros([inner, embed], device),
            n_head: config.n_head,
        }
    }

    /// The layers whose weights can be packed: all but the norms.
    fn linears(&self) -> [&Linear; 4] {
        [&self.c_attn, &self.attn_proj, &self.c_fc, &self.mlp_proj]
    }

    /// [`Self::linears`], to be changed.
    fn linears_mut(&mut self) -> [&mut Linear; 4] {
        [
            &mut self.c_attn,
            &mut self.attn_proj,
            &mut self.c_fc,
            &mut self.mlp_proj,
        ]
    }

    /// Computes the positions that are asked for. Shapes:
    /// `input [tokens, embed]` → `[queries, embed]`.
    fn forward<'a>(
        &self,
        input: Tensor<2>,
        asked: Queries<'a>,
    ) -> (Tensor<2>, KeptBlock<'a>) {
        let (middle, attention) = self.attention(input, asked);
        let (output, inner) = self.mlp(middle.clone());
        let kept = KeptBlock {
            attention,
            middle,
            inner,
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
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let d_middle = self.mlp_backward(kept.middle, kept.inner, d_output);
        self.attention_backward(kept.attention, d_middle, wanted)
    }

    /// Attention behind its layer norm and around a residual. Shapes:
    /// `input [tokens, embed]` → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention<'a>(
        &self,
        input: Tensor<2>,
        asked: Queries<'a>,
    ) -> (Tensor<2>, KeptAttention<'a>) {
        let normed = self.ln_1.forward(input.clone()); // [tokens, embed]
        let at_queries = asked.gather(normed.clone()); // [queries, embed]
        let attention = Attention {
            queries: self.query().forward(at_queries),
            keys_values: self.key_value().forward(normed),
            spans: asked.spans,
            heads: self.heads(),
        };

        let attended = kernels::attention(&attention);
        let mixed = self.attn_proj.forward(attended.mixed.clone());
        let output = asked.gather(input.clone()) + mixed;

        let kept = KeptAttention {
            asked,
            input,
            queries: attention.queries,
            keys_values: attention.keys_values,
            attended,
        };
        (output, kept)
    }

    /// Gradient of attention's input, through the layer norm and the residual.
    /// Shapes: `d_output [queries, embed]` → `[tokens, embed]`, or
    /// `[wanted, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention_backward(
        &self,
        kept: KeptAttention<'_>,
        d_output: Tensor<2>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let asked = kept.asked;
        let d_mixed = self.attn_proj.backward(d_output.clone()); // [queries, embed]
        let attention = Attention {
            queries: kept.queries,
            keys_values: kept.keys_values,
            spans: asked.spans,
            heads: self.heads(),
        };

        let attended = kept.attended;
        let gradients =
            kernels::attention_backward(&attention, attended, d_mixed);

        let d_queries = only(asked.scatter(gradients.queries), wanted);
        let d_keys_values = only(gradients.keys_values, wanted);
        let d_normed = self.query().backward(d_queries);
        let d_normed = self.key_value().backward_onto(d_normed, d_keys_values);

        let input = only(kept.input, wanted);
        let d_input = self.ln_1.backward(input, d_normed);
        only(asked.scatter(d_output), wanted) + d_input
    }

    /// The MLP behind its layer norm and around a residual; returns what its
    /// activation got too. Shapes: `[queries, embed]` → `[queries, embed]`,
    /// `[queries, inner]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp(&self, input: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let normed = self.ln_2.forward(input.clone());
        let inner = self.c_fc.forward(normed);
        let activated = kernels::gelu(inner.clone());
        let output = self.mlp_proj.forward(activated);
        (input + output, inner)
    }

    /// Gradient of the MLP's input, through the layer norm and the residual.
    /// Shapes: `input [queries, embed]`, `inner [queries, inner]`,
    /// `d_output [queries, embed]` → `[queries, embed]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp_backward(
        &self,
        input: Tensor<2>,
        inner: Tensor<2>,
        d_output: Tensor<2>,
    ) -> Tensor<2> {
        let d_activated = self.mlp_proj.backward(d_output.clone());
        let d_inner = kernels::gelu_backward(inner, d_activated);
        let d_normed = self.c_fc.backward(d_inner);
        d_output + self.ln_2.backward(input, d_normed)
    }

    fn heads(&self) -> HeadCounts {
        HeadCounts {
            n_query: self.n_head,
            n_key_value: self.n_head,
        }
    }

    /// The first third of `c_attn`.
    fn query(&self) -> Columns {
        let [_, embed] = self.attn_proj.weight.val().dims();
        self.c_attn.columns(0..embed)
    }

    /// The second and last third of `c_attn`.
    fn key_value(&self) -> Columns {
        let [_, embed] = self.attn_proj.weight.val().dims();
        self.c_attn.columns(embed..3 * embed)
    }
}
