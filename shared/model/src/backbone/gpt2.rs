//! GPT-2 as one readable file (reference: `transformers.GPT2Model`): forward, and the gradient of
//! its input.
//!
//! The body is frozen, so only the input's gradient is wanted, and it has a closed form for each
//! step of a block. Written out it keeps ten rows of the embedding's width for each token and
//! block, and frees them as it goes back; the test at the foot holds it against autodiff. A
//! backbone that still learns (the warm-up) goes through the same forward on an autodiff device.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor};

use crate::backbone::config::Gpt2Config;
use crate::backbone::host::{index_tensor, to_index, to_vec};
use crate::backbone::kernels;
use crate::backbone::kernels::{Attended, Attention};
use crate::backbone::layers::{Columns, LayerNorm, Linear};
use crate::backbone::layout::{Layout, Read, Spans};
use crate::backbone::token_budget::TokenBudget;
use crate::device::Precision;
use crate::tokens::packing::{Reading, TokenBatch};
use crate::tokens::prompt::Token;
use crate::tokens::tables::Table;

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
    /// Most tokens that go through at once.
    #[module(skip)]
    pub budget: TokenBudget,
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
            budget: TokenBudget::of(device),
        }
    }

    fn init_block(&self, device: &Device) -> Block {
        Block {
            ln_1: self.layer_norm(device),
            c_attn: Linear::zeros(self.n_embd, 3 * self.n_embd, device),
            attn_proj: Linear::zeros(self.n_embd, self.n_embd, device),
            ln_2: self.layer_norm(device),
            c_fc: Linear::zeros(self.n_embd, self.inner(), device),
            mlp_proj: Linear::zeros(self.inner(), self.n_embd, device),
            n_head: self.n_head,
        }
    }

    fn layer_norm(&self, device: &Device) -> LayerNorm {
        LayerNorm::identity(self.n_embd, self.layer_norm_epsilon, device)
    }
}

impl Gpt2 {
    /// Last hidden states of the positions that are read (reference:
    /// `GPT2Model.forward(inputs_embeds=…)`).
    ///
    /// Shapes: `embeddings [tokens, embed]` without positions, documents one after the other as
    /// `layout` says → `[read, embed]`.
    pub(crate) fn forward(&self, embeddings: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let mut hidden = self.positioned(embeddings, layout); // [tokens, embed]
        for (number, block) in self.h.iter().enumerate() {
            hidden = block.forward(hidden, &self.asked(number, layout)).0;
        }
        self.ln_f.forward(hidden)
    }

    /// The same, with what [`Self::backward`] needs.
    pub(crate) fn forward_kept(&self, embeddings: Tensor<2>, layout: &Layout) -> (Tensor<2>, Kept) {
        let mut hidden = self.positioned(embeddings, layout);
        let mut blocks = Vec::with_capacity(self.h.len());
        for (number, block) in self.h.iter().enumerate() {
            let (output, kept) = block.forward(hidden, &self.asked(number, layout));
            hidden = output;
            blocks.push(kept);
        }
        let normed = self.ln_f.forward(hidden.clone());
        (
            normed,
            Kept {
                blocks,
                last: hidden,
            },
        )
    }

    /// Gradient of the embeddings at some packed rows, given that of the hidden states.
    ///
    /// Shapes: `d_hidden [read, embed]`, `wanted [wanted]` → `[wanted, embed]`.
    pub(crate) fn backward(
        &self,
        kept: Kept,
        layout: &Layout,
        d_hidden: Tensor<2>,
        wanted: &Tensor<1, Int>,
    ) -> Tensor<2> {
        let mut gradient = self
            .ln_f
            .backward(kept.last, d_hidden.cast(self.wte.val().dtype()));
        for (number, (block, kept)) in self.h.iter().zip(kept.blocks).enumerate().rev() {
            let wanted = (number == 0).then_some(wanted);
            gradient = block.backward(kept, &self.asked(number, layout), gradient, wanted);
        }
        gradient
    }

    /// In the precision of the weights.
    fn positioned(&self, embeddings: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let positions = self.wpe.val().select(0, layout.positions.clone());
        embeddings.cast(positions.dtype()) + positions
    }

    /// The same backbone with its weights, and so its activations, in another precision; f32 is the
    /// one that is kept.
    #[must_use]
    pub fn in_precision(&self, precision: Precision) -> Self {
        match precision {
            Precision::F32 => self.clone(),
            Precision::Bf16 => self.clone().map(&mut Cast(precision.dtype())),
        }
    }

    /// The last block computes no queries and no MLP where nobody reads.
    fn asked<'a>(&self, block: usize, layout: &'a Layout) -> Asked<'a> {
        match &layout.read {
            Some(read) if block + 1 == self.h.len() => Asked {
                spans: &read.spans,
                read: Some(read),
            },
            _ => Asked {
                spans: &layout.spans,
                read: None,
            },
        }
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

    /// Memory of the weights.
    pub fn n_bytes(&self) -> usize {
        self.num_params() * self.wte.val().dtype().size()
    }

    /// The embeddings of some words.
    pub fn word_rows(&self, words: &[u32]) -> Table {
        let rows = index_tensor(
            words.iter().map(|&word| to_index(word as usize)).collect(),
            &self.device(),
        );
        Table::new(to_vec(self.wte.val().select(0, rows)), self.n_embd())
    }

    /// Last hidden states of sequences of words alone, one sequence after the other (the plain
    /// GPT-2).
    ///
    /// Shapes: `sequences [batch][seq]` → `[words, embed]`, row-major.
    pub fn hidden_of_words(&self, sequences: &[Vec<u32>]) -> Vec<f32> {
        let document = |words: &Vec<u32>| {
            Reading::whole(words.iter().map(|&word| Token::Word(word)).collect())
        };
        let documents: Vec<Reading> = sequences.iter().map(document).collect();
        let batch = TokenBatch::new(&documents, self.n_positions(), &self.device());
        let words = self.wte.val().select(0, batch.word_rows(&self.device()));
        let hidden = self.forward(words.select(0, batch.index.clone()), &batch.layout);
        to_vec(hidden)
    }
}

/// Casts every float of a module.
struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor.cast(self.0), mapper)
    }
}

/// The positions whose output a block computes.
struct Asked<'a> {
    spans: &'a Spans,
    /// Absent where all are.
    read: Option<&'a Read>,
}

impl Asked<'_> {
    fn gather(&self, packed: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.gather(packed),
            None => packed,
        }
    }

    fn scatter(&self, asked: Tensor<2>) -> Tensor<2> {
        match self.read {
            Some(read) => read.scatter(asked),
            None => asked,
        }
    }
}

/// What the way back needs of a forward pass.
pub(crate) struct Kept {
    blocks: Vec<KeptBlock>,
    /// Before the final layer norm `[read, embed]`.
    last: Tensor<2>,
}

/// Of one block: the inputs of its layer norms, of its attention and of its activation; the rest is
/// recomputed.
struct KeptBlock {
    attention: KeptAttention,
    /// Between attention and MLP `[asked, embed]`.
    middle: Tensor<2>,
    /// Before the activation `[asked, inner]`.
    inner: Tensor<2>,
}

/// Of its first half.
struct KeptAttention {
    /// `[tokens, embed]`
    input: Tensor<2>,
    /// `[asked, embed]`
    queries: Tensor<2>,
    /// Keys, then values `[tokens, 2 embed]`.
    keys_values: Tensor<2>,
    attended: Attended,
}

impl Block {
    /// Shapes: `input [tokens, embed]` → `[asked, embed]`.
    fn forward(&self, input: Tensor<2>, asked: &Asked<'_>) -> (Tensor<2>, KeptBlock) {
        let (middle, attention) = self.attention(input, asked);
        let (output, inner) = self.mlp(middle.clone());
        (
            output,
            KeptBlock {
                attention,
                middle,
                inner,
            },
        )
    }

    /// Shapes: `d_output [asked, embed]` → `[tokens, embed]`, or `[wanted, embed]`.
    fn backward(
        &self,
        kept: KeptBlock,
        asked: &Asked<'_>,
        d_output: Tensor<2>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let d_middle = self.mlp_backward(kept.middle, kept.inner, d_output);
        self.attention_backward(kept.attention, asked, d_middle, wanted)
    }

    /// Shapes: `input [tokens, embed]` → `[asked, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention(&self, input: Tensor<2>, asked: &Asked<'_>) -> (Tensor<2>, KeptAttention) {
        let normed = self.ln_1.forward(input.clone()); // [tokens, embed]
        let queries = self.query().forward(asked.gather(normed.clone())); // [asked, embed]
        let keys_values = self.key_value().forward(normed); // [tokens, 2 embed]
        let attention = Attention {
            queries,
            keys_values,
            spans: asked.spans,
            n_head: self.n_head,
        };
        let attended = kernels::attention(&attention);
        let output = asked.gather(input.clone()) + self.attn_proj.forward(attended.mixed.clone());
        let Attention {
            queries,
            keys_values,
            ..
        } = attention;
        (
            output,
            KeptAttention {
                input,
                queries,
                keys_values,
                attended,
            },
        )
    }

    /// Shapes: `d_output [asked, embed]` → `[tokens, embed]`, or `[wanted, embed]`.
    #[tracing::instrument(level = "trace", name = "attention", skip_all)]
    fn attention_backward(
        &self,
        kept: KeptAttention,
        asked: &Asked<'_>,
        d_output: Tensor<2>,
        wanted: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let only_wanted = |tensor: Tensor<2>| match wanted {
            Some(rows) => tensor.select(0, rows.clone()),
            None => tensor,
        };
        let d_mixed = self.attn_proj.backward(d_output.clone()); // [asked, embed]
        let KeptAttention {
            input,
            queries,
            keys_values,
            attended,
        } = kept;
        let attention = Attention {
            queries,
            keys_values,
            spans: asked.spans,
            n_head: self.n_head,
        };
        let (d_queries, d_keys_values) = kernels::attention_backward(&attention, attended, d_mixed);
        let d_normed = self.query().backward(only_wanted(asked.scatter(d_queries)));
        let d_normed = self
            .key_value()
            .backward_onto(d_normed, only_wanted(d_keys_values));
        only_wanted(asked.scatter(d_output)) + self.ln_1.backward(only_wanted(input), d_normed)
    }

    /// The output, and what its activation got. Shapes: `[asked, embed]` → `[asked, embed]`,
    /// `[asked, inner]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp(&self, input: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let inner = self.c_fc.forward(self.ln_2.forward(input.clone()));
        (
            input + self.mlp_proj.forward(kernels::gelu(inner.clone())),
            inner,
        )
    }

    /// Shapes: `input [asked, embed]`, `inner [asked, inner]`, `d_output [asked, embed]` → `[asked,
    /// embed]`.
    #[tracing::instrument(level = "trace", name = "mlp", skip_all)]
    fn mlp_backward(&self, input: Tensor<2>, inner: Tensor<2>, d_output: Tensor<2>) -> Tensor<2> {
        let d_inner = kernels::gelu_backward(inner, self.mlp_proj.backward(d_output.clone()));
        d_output + self.ln_2.backward(input, self.c_fc.backward(d_inner))
    }

    /// The first third of `c_attn`.
    fn query(&self) -> Columns {
        let [embed, _] = self.attn_proj.weight.val().dims();
        self.c_attn.columns(0..embed)
    }

    /// The rest of `c_attn`.
    fn key_value(&self) -> Columns {
        let [embed, _] = self.attn_proj.weight.val().dims();
        self.c_attn.columns(embed..3 * embed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;
    use domain::RandomBackbone;

    use crate::backbone::checkpoint::random_backbone;
    use crate::device::{available_devices, compute_device};

    /// Three documents; the last block computes some positions of each, or all.
    fn documents(reads_all: bool) -> Vec<Reading> {
        let lengths = [(9, 5), (1, 1), (14, 1)];
        let document = |(length, n_read)| {
            let tokens: Vec<Token> = (0..length)
                .map(|t| {
                    if t % 4 == 0 {
                        Token::Item(t)
                    } else {
                        Token::Word(t)
                    }
                })
                .collect();
            if reads_all {
                Reading::whole(tokens)
            } else {
                Reading { tokens, n_read }
            }
        };
        lengths.into_iter().map(document).collect()
    }

    #[test]
    fn the_closed_form_gradient_is_that_of_autodiff() {
        let names = available_devices();
        for (name, (reads_all, n_layer)) in names
            .iter()
            .flat_map(|name| [(name, (true, 2)), (name, (false, 2)), (name, (false, 1))])
        {
            let device = compute_device(name).unwrap().device;
            let shape = RandomBackbone {
                n_embd: 24,
                n_layer,
                n_head: 3,
                n_positions: 16,
                ..Default::default()
            };
            let (_, gpt2) = random_backbone(&shape, &device);
            let batch = TokenBatch::new(&documents(reads_all), 16, &device);
            let embeddings = Tensor::<2>::random(
                [batch.n_tokens, 24],
                Distribution::Uniform(-1.0, 1.0),
                &device,
            );
            let (hidden, kept) = gpt2.forward_kept(embeddings.clone(), &batch.layout);
            let d_hidden =
                Tensor::<2>::random(hidden.dims(), Distribution::Uniform(-1.0, 1.0), &device);
            let wanted = index_tensor(
                batch.soft.iter().map(|&(row, _)| to_index(row)).collect(),
                &device,
            );
            let found = gpt2.backward(kept, &batch.layout, d_hidden.clone(), &wanted);

            let leaf = embeddings.autodiff().require_grad();
            let twin = gpt2.forward(leaf.clone(), &batch.layout);
            assert_close(&to_vec(twin.clone().inner()), &to_vec(hidden));
            let mut gradients = (twin * d_hidden.autodiff()).sum().backward();
            let expected = leaf.grad_remove(&mut gradients).unwrap().select(0, wanted);
            assert_close(&to_vec(found), &to_vec(expected));
        }
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        let largest = expected
            .iter()
            .fold(1e-6_f32, |largest, x| largest.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-5 * largest,
                "{found} {expected}"
            );
        }
    }
}
