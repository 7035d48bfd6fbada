//! GPT-2 as one readable file (reference: `transformers.GPT2Model`). Linear layers see only real tokens; rows are
//! padded for attention alone.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu_approximate;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor};

use crate::packing::{Layout, TokenBatch, index_tensor, to_index, to_vec};
use crate::{Gpt2Config, Table, Token};

/// The backbone: token and position embeddings, blocks, final layer norm. The head is `wte` itself.
#[derive(Module, Debug)]
pub struct Gpt2 {
    /// Word embeddings `[vocab, embed]`, tied with the vocabulary head.
    pub wte: Param<Tensor<2>>,
    /// Position embeddings `[positions, embed]`.
    pub wpe: Param<Tensor<2>>,
    /// The transformer blocks (`h` in the reference).
    pub h: Vec<Block>,
    /// The final layer norm.
    pub ln_f: LayerNorm,
}

/// One transformer block: attention and MLP, each behind a layer norm and around a residual.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// Query, key and value in one, `[embed, 3 embed]`.
    pub c_attn: Linear,
    /// Attention's output, `[embed, embed]`.
    pub attn_proj: Linear,
    /// Before the MLP.
    pub ln_2: LayerNorm,
    /// Into the MLP, `[embed, inner]`.
    pub c_fc: Linear,
    /// Out of the MLP, `[inner, embed]`.
    pub mlp_proj: Linear,
    /// Attention heads.
    pub n_head: usize,
}

impl Gpt2Config {
    /// A GPT-2 of this shape whose weights are still to be set.
    pub fn init(&self, device: &Device) -> Gpt2 {
        Gpt2 {
            wte: Param::from_tensor(Tensor::zeros([self.vocab_size, self.n_embd], device)),
            wpe: Param::from_tensor(Tensor::zeros([self.n_positions, self.n_embd], device)),
            h: (0..self.n_layer).map(|_| self.init_block(device)).collect(),
            ln_f: self.layer_norm(device),
        }
    }

    fn init_block(&self, device: &Device) -> Block {
        let linear = |d_input, d_output| {
            LinearConfig::new(d_input, d_output).with_initializer(burn::nn::Initializer::Zeros).init(device)
        };
        Block {
            ln_1: self.layer_norm(device),
            c_attn: linear(self.n_embd, 3 * self.n_embd),
            attn_proj: linear(self.n_embd, self.n_embd),
            ln_2: self.layer_norm(device),
            c_fc: linear(self.n_embd, self.inner()),
            mlp_proj: linear(self.inner(), self.n_embd),
            n_head: self.n_head,
        }
    }

    fn layer_norm(&self, device: &Device) -> LayerNorm {
        LayerNormConfig::new(self.n_embd).with_epsilon(self.layer_norm_epsilon).init(device)
    }
}

impl Gpt2 {
    /// Last hidden states of packed documents (reference: `GPT2Model.forward(inputs_embeds=…)`).
    ///
    /// Shapes: `embeddings [tokens, embed]` without positions, documents one after the other as `layout` says →
    /// `[tokens, embed]`.
    pub(crate) fn forward(&self, embeddings: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let positions = self.wpe.val().select(0, layout.positions.clone()); // [tokens, embed]
        let mut hidden = embeddings + positions;
        for block in &self.h {
            hidden = block.forward(hidden, layout);
        }
        self.ln_f.forward(hidden)
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.wte.val().device()
    }

    /// Embedding width, K.
    pub fn n_embd(&self) -> usize {
        self.wte.val().dims()[1]
    }

    /// Longest sequence.
    pub fn n_positions(&self) -> usize {
        self.wpe.val().dims()[0]
    }

    /// The embeddings of some words.
    pub fn word_rows(&self, words: &[u32]) -> Table {
        let rows = index_tensor(words.iter().map(|&word| to_index(word as usize)).collect(), &self.device());
        Table::new(to_vec(self.wte.val().select(0, rows)), self.n_embd())
    }

    /// Last hidden states of sequences of words alone, padded rows of zeros after each (the plain GPT-2).
    ///
    /// Shapes: `sequences [batch][seq]` → `[batch * longest, embed]`, row-major.
    pub fn hidden_of_words(&self, sequences: &[Vec<u32>]) -> Vec<f32> {
        let documents: Vec<Vec<Token>> =
            sequences.iter().map(|words| words.iter().map(|&word| Token::Word(word)).collect()).collect();
        let batch = TokenBatch::new(&documents, self.n_positions(), &self.device());
        let words = self.wte.val().select(0, batch.word_rows(&self.device()));
        let hidden = self.forward(words.select(0, batch.index.clone()), &batch.layout);
        to_vec(hidden)
    }
}

impl Block {
    /// Shapes: `hidden [tokens, embed]` → `[tokens, embed]`.
    fn forward(&self, hidden: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let hidden = hidden.clone() + self.attention(self.ln_1.forward(hidden), layout);
        hidden.clone() + self.mlp(self.ln_2.forward(hidden))
    }

    /// Causal self-attention inside each document. A document is padded on the right, where no real token looks,
    /// so the causal mask is the only one.
    ///
    /// Shapes: `input [tokens, embed]` → `[tokens, embed]`.
    fn attention(&self, input: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let [_, embed] = input.dims();
        let [batch, longest] = layout.padded_shape;
        let head_dim = embed / self.n_head;
        let qkv = layout.pad(self.c_attn.forward(input)); // [batch * longest, 3 embed]
        let heads = |part: usize| {
            qkv.clone()
                .slice([0..batch * longest, part * embed..(part + 1) * embed])
                .reshape([batch, longest, self.n_head, head_dim])
                .swap_dims(1, 2) // [batch, heads, longest, head_dim]
        };
        let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
        let mixed = attention(heads(0), heads(1), heads(2), None, None, options);
        let mixed = mixed.swap_dims(1, 2).reshape([batch * longest, embed]);
        self.attn_proj.forward(layout.unpad(mixed))
    }

    /// Shapes: `input [tokens, embed]` → `[tokens, embed]`.
    fn mlp(&self, input: Tensor<2>) -> Tensor<2> {
        self.mlp_proj.forward(gelu_approximate(self.c_fc.forward(input)))
    }
}
