//! The Llama family (reference: `transformers.LlamaModel`,
//! and what `Qwen2`, `Qwen3` and `Mistral` change of it): forward, and the
//! gradient of its input.
//!
//! One block with switches: biases on queries, keys and values, a norm of each
//! head, heads of keys and values that several query heads share. As in
//! [`crate::backbone::gpt2`] the body is frozen, the gradient is written out,
//! and the test in `decoder.rs` holds it against autodiff.

/// One block: attention and MLP.
mod block;
/// The sizes and switches of a decoder.
pub(crate) mod config;
/// Rotary positions: how far heads are turned.
pub(crate) mod rope;
/// Its weights by name, read and written.
pub(crate) mod weights;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::layers::{Linear, RmsNorm};
use crate::backbone::layout::Layout;
use crate::backbone::llama::block::{Block, KeptBlock, Target, Turns};
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

/// What [`Llama::backward`] needs of a forward pass.
pub(crate) struct KeptActivations<'a> {
    blocks: Vec<KeptBlock<'a>>,
    /// How far heads were turned.
    rotations: BatchRotations,
    /// What went into the final norm `[read, embed]`.
    last: Tensor<2>,
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
            rotations: rope.rotations(config.n_positions(), device),
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

    /// Memory of the packed weights, in bytes.
    pub(crate) fn packed_bytes(&self) -> usize {
        let linears = self.layers.iter().flat_map(Block::linears);
        linears.map(Linear::packed_bytes).sum()
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
