//! The backbone as everybody else sees it: weights, configuration and tokenizer
//! of a frozen decoder, whatever its family.

use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use domain::{Body, RandomBackbone, Shape};

use crate::backbone::checkpoint::{Checkpoint, Weight, write_checkpoint};
use crate::backbone::config::Config;
use crate::backbone::files::{
    BackboneFiles, check_prompts, config_file, read_config,
};
use crate::backbone::gpt2::{self, Gpt2};
use crate::backbone::host::{index_tensor, to_index};
use crate::backbone::kernels::MatrixMemory;
use crate::backbone::layout::Layout;
use crate::backbone::llama::{self, Llama};
use crate::backbone::token_budget::TokenBudget;
use crate::backbone::tokenizer::{self, Tokenizer};
use crate::device::{Precision, packs_weights};
use crate::error::Error;
use crate::tensors::write_atomically;

/// A frozen language model in front of which users and items are tokens.
#[derive(Debug, Clone)]
pub struct Backbone {
    config: Config,
    pub(crate) decoder: Decoder,
    /// Absent where a checkpoint came without one.
    tokenizer: Option<Arc<Tokenizer>>,
    /// The words whose embeddings are there, ascending; absent where all are.
    kept_words: Option<Arc<[u32]>>,
    budget: TokenBudget,
    /// Gives memory back when the last copy of the backbone ends.
    _memory: Arc<MatrixMemory>,
}

/// The weights, by family.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "burn's modules cannot be boxed, and one exists a backbone"
)]
pub(crate) enum Decoder {
    /// A decoder whose `model_type` is `gpt2`.
    Gpt2(Gpt2),
    /// A decoder whose `model_type` is `llama`, `qwen2`, `qwen3` or `mistral`.
    Llama(Llama),
}

impl Decoder {
    /// Takes the weights of a family's decoder out of a checkpoint.
    fn read(
        config: &Config,
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        Ok(match config {
            Config::Gpt2(config) => {
                Self::Gpt2(Gpt2::read(config, checkpoint, device, precision)?)
            }
            Config::Llama(config) => {
                Self::Llama(Llama::read(config, checkpoint, device, precision)?)
            }
        })
    }
}

/// What [`Backbone::backward`] needs of the forward pass, by family.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, on the stack of the step that made it"
)]
pub(crate) enum KeptActivations<'a> {
    /// The activations of a GPT-2.
    Gpt2(gpt2::KeptActivations<'a>),
    /// The activations of a decoder of the Llama family.
    Llama(llama::KeptActivations<'a>),
}

impl Backbone {
    /// Reads a backbone from a folder with `config.json` and
    /// `model.safetensors`, or with the shards that
    /// `model.safetensors.index.json` names; f32, f16 or bf16.
    ///
    /// A GGUF file is read too, named by its own path or by a folder that holds
    /// no other GGUF file and no `config.json`.
    pub fn read(path: &Path, device: &Device) -> Result<Self, Error> {
        Self::read_layers_in(path, device, Precision::F32)
    }

    /// Reads a backbone that only answers, with weights in `precision`; on
    /// devices other than flex activations are rounded too.
    pub fn read_to_answer(
        path: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        if packs_weights(device) {
            return Self::read_layers_in(path, device, precision);
        }
        Ok(Self::read(path, device)?.in_precision(precision))
    }

    fn read_layers_in(
        path: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let files = BackboneFiles::open(path)?;
        let BackboneFiles {
            config,
            checkpoint,
            tokenizer,
            ..
        } = files;
        let decoder = Decoder::read(&config, &checkpoint, device, precision)?;
        Ok(Self::new(config, decoder, tokenizer, device))
    }

    /// Reads the sizes of the backbone at a path, and nothing of its weights.
    pub fn read_body(path: &Path) -> Result<Body, Error> {
        let config = read_config(path)?;
        Body::new(config.shape(), config.n_positions()).map_err(|invalid| {
            Error::malformed(config_file(path), invalid.to_string())
        })
    }

    /// Draws a backbone of the given shape at random; the same one for the same
    /// seed.
    pub fn random(shape: &RandomBackbone, device: &Device) -> Self {
        let (config, gpt2) = gpt2::random::draw(shape, device);
        let tokenizer = Some(Tokenizer::gpt2());
        Self::new(Config::Gpt2(config), Decoder::Gpt2(gpt2), tokenizer, device)
    }

    fn new(
        config: Config,
        decoder: Decoder,
        tokenizer: Option<Arc<Tokenizer>>,
        device: &Device,
    ) -> Self {
        Self {
            config,
            decoder,
            tokenizer,
            kept_words: None,
            budget: TokenBudget::of(device),
            _memory: Arc::new(MatrixMemory),
        }
    }

    /// Writes the files that [`Self::read`] reads, as `transformers` reads them
    /// too.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_checkpoint(folder, &self.config, &self.named_weights())?;
        let tokenizer = self.tokenizer.as_ref();
        match tokenizer.and_then(|tokenizer| tokenizer.file()) {
            Some(bytes) => {
                write_atomically(&folder.join(tokenizer::FILE), bytes)
            }
            None => Ok(()),
        }
    }

    /// The weights under the names that the family's checkpoints give them.
    pub(crate) fn named_weights(&self) -> Vec<Weight> {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.named_weights(),
            Decoder::Llama(llama) => llama.named_weights(),
        }
    }

    /// Checks that the prompts' words are in the vocabulary and that a prompt
    /// fits the positions.
    pub fn check_prompts(&self, path: &Path) -> Result<(), Error> {
        check_prompts(path, &self.config, self.tokenizer()?)
    }

    /// The same backbone with its weights, and so its activations, in another
    /// precision; files are always written in f32.
    #[must_use]
    pub fn in_precision(&self, precision: Precision) -> Self {
        let mut backbone = self.clone();
        if precision != Precision::F32 {
            let mut cast = Cast {
                to: precision.dtype(),
            };
            backbone.decoder = backbone.decoder.map(&mut cast);
        }
        backbone
    }

    /// Forgets the embeddings of all words but these, and a head of its own:
    /// what ranks items reads the words of prompts alone. Such a backbone
    /// predicts no words and is not written to files any more.
    #[must_use]
    pub fn with_words_alone(mut self, words: &[u32]) -> Self {
        let mut words = words.to_vec();
        words.sort_unstable();
        words.dedup();
        let rows = Param::from_tensor(self.word_embeddings(&words));
        match &mut self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.wte = rows,
            Decoder::Llama(llama) => {
                llama.embed_tokens = rows;
                llama.lm_head = None;
            }
        }
        self.kept_words = Some(words.into());
        self
    }

    /// Last hidden states of the positions that are read.
    ///
    /// Shapes: `embeddings [tokens, embed]` without positions, documents one
    /// after the other as `layout` says → `[read, embed]`.
    pub(crate) fn forward(
        &self,
        embeddings: Tensor<2>,
        layout: &Layout,
    ) -> Tensor<2> {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.forward(embeddings, layout),
            Decoder::Llama(llama) => llama.forward(embeddings, layout),
        }
    }

    /// [`Self::forward`], with what [`Self::backward`] needs.
    pub(crate) fn forward_kept<'a>(
        &self,
        embeddings: Tensor<2>,
        layout: &'a Layout,
    ) -> (Tensor<2>, KeptActivations<'a>) {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => {
                let (hidden, kept) = gpt2.forward_kept(embeddings, layout);
                (hidden, KeptActivations::Gpt2(kept))
            }
            Decoder::Llama(llama) => {
                let (hidden, kept) = llama.forward_kept(embeddings, layout);
                (hidden, KeptActivations::Llama(kept))
            }
        }
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
        match (&self.decoder, kept) {
            (Decoder::Gpt2(gpt2), KeptActivations::Gpt2(kept)) => {
                gpt2.backward(kept, d_hidden, wanted)
            }
            (Decoder::Llama(llama), KeptActivations::Llama(kept)) => {
                llama.backward(kept, d_hidden, wanted)
            }
            (Decoder::Gpt2(_), KeptActivations::Llama(_))
            | (Decoder::Llama(_), KeptActivations::Gpt2(_)) => {
                unreachable!(
                    "what was kept is of this backbone's own forward pass"
                )
            }
        }
    }

    /// The embeddings of some words, in the precision of the weights. Shapes:
    /// `[words]` → `[words, embed]`.
    pub(crate) fn word_embeddings(&self, words: &[u32]) -> Tensor<2> {
        let rows = words.iter().map(|&word| to_index(self.row_of(word)));
        let rows = index_tensor(rows.collect(), &self.device());
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.wte.val().select(0, rows),
            Decoder::Llama(llama) => llama.embed_tokens.val().select(0, rows),
        }
    }

    /// The row of a word among the embeddings that are there.
    fn row_of(&self, word: u32) -> usize {
        let Some(kept) = &self.kept_words else {
            return word as usize;
        };
        let row = kept.binary_search(&word);
        row.expect("the words of all prompts were kept")
    }

    /// The matrix over whose rows the softmax of the words is taken
    /// `[words, embed]`. It is the embeddings themselves where the family ties
    /// the two.
    pub(crate) fn head(&self) -> Tensor<2> {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.wte.val(),
            Decoder::Llama(llama) => llama.head(),
        }
    }

    /// What turns text into the words of this backbone; an error where its
    /// files came without one.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>, Error> {
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    /// Bounds how many tokens go through at once; all copies of a backbone
    /// share it.
    pub fn budget(&self) -> &TokenBudget {
        &self.budget
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.head().device()
    }

    /// Width of the embeddings, K.
    pub fn n_embd(&self) -> usize {
        self.head().dims()[1]
    }

    /// Words of the head, V.
    pub fn n_words(&self) -> usize {
        self.head().dims()[0]
    }

    /// The length of the longest sequence, in tokens.
    pub fn n_positions(&self) -> usize {
        self.config.n_positions()
    }

    /// The sizes that the cost of a pass follows from.
    pub fn shape(&self) -> Shape {
        self.config.shape()
    }

    /// Memory of the weights, in bytes.
    pub fn n_bytes(&self) -> usize {
        let packed = match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.packed_bytes(),
            Decoder::Llama(llama) => llama.packed_bytes(),
        };
        self.decoder.num_params() * self.head().dtype().size() + packed
    }
}

/// Casts every float of a module.
struct Cast {
    to: DType,
}

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(
        &mut self,
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor.cast(self.to), mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    use crate::backbone::host::to_vec;
    use crate::backbone::layout::Extent;
    use crate::backbone::llama::config::LlamaConfig;
    use crate::device::{available_devices, compute_device};

    /// Three documents; the last block computes some positions of each, or all.
    fn documents(reads_all: bool) -> Vec<Extent> {
        let mut documents = Vec::new();
        for (n_tokens, n_read) in [(9, 5), (1, 1), (14, 1)] {
            documents.push(Extent {
                n_tokens,
                n_read: if reads_all { n_tokens } else { n_read },
            });
        }
        documents
    }

    /// The packed row of every fourth token of each document.
    fn every_fourth(documents: &[Extent]) -> Vec<i32> {
        let mut rows = Vec::new();
        let mut start = 0;
        for document in documents {
            let places = (0..document.n_tokens).step_by(4);
            rows.extend(places.map(|place| to_index(start + place)));
            start += document.n_tokens;
        }
        rows
    }

    /// Draws every weight anew, so that none has its trivial value.
    struct Draw;

    impl ModuleMapper for Draw {
        fn map_float<const D: usize>(
            &mut self,
            param: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let drawn = tensor.random_like(Distribution::Uniform(-0.3, 0.3));
            Param::from_mapped_value(id, drawn, mapper)
        }
    }

    fn gpt2(n_layer: usize, device: &Device) -> Backbone {
        let shape = RandomBackbone {
            n_embd: 24,
            n_layer,
            n_head: 3,
            n_positions: 16,
            ..Default::default()
        };
        Backbone::random(&shape, device)
    }

    fn llama(model_type: &str, n_layer: usize, device: &Device) -> Backbone {
        let fields = serde_json::json!({
            "model_type": model_type, "vocab_size": 32, "hidden_size": 24,
            "head_dim": 8, "intermediate_size": 20,
            "num_hidden_layers": n_layer, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 16,
        });
        let config: LlamaConfig = serde_json::from_value(fields).unwrap();
        let llama = Llama::zeros(&config, device).unwrap().map(&mut Draw);
        Backbone::new(
            Config::Llama(Box::new(config)),
            Decoder::Llama(llama),
            None,
            device,
        )
    }

    #[test]
    fn the_closed_form_gradients_are_those_of_autodiff() {
        for name in available_devices() {
            let device = compute_device(&name).unwrap().device;
            for n_layer in [1, 2] {
                check_gradients(&gpt2(n_layer, &device));
                for member in ["llama", "qwen2", "qwen3"] {
                    check_gradients(&llama(member, n_layer, &device));
                }
            }
        }
    }

    fn check_gradients(backbone: &Backbone) {
        for reads_all in [true, false] {
            check_gradient(backbone, &documents(reads_all));
        }
    }

    fn check_gradient(backbone: &Backbone, documents: &[Extent]) {
        let (device, width) = (backbone.device(), backbone.n_embd());
        let layout = Layout::new(documents, &device);
        let n_tokens = documents.iter().map(|document| document.n_tokens).sum();
        let uniform = Distribution::Uniform(-1.0, 1.0);
        let embeddings =
            Tensor::<2>::random([n_tokens, width], uniform, &device);
        let (hidden, kept) = backbone.forward_kept(embeddings.clone(), &layout);
        let d_hidden = Tensor::<2>::random(hidden.dims(), uniform, &device);
        let wanted = index_tensor(every_fourth(documents), &device);
        let found = backbone.backward(kept, d_hidden.clone(), &wanted);

        let leaf = embeddings.autodiff().require_grad();
        let twin = backbone.forward(leaf.clone(), &layout);
        assert_close(&to_vec(twin.clone().inner()), &to_vec(hidden));
        let mut gradients = (twin * d_hidden.autodiff()).sum().backward();
        let expected =
            leaf.grad_remove(&mut gradients).unwrap().select(0, wanted);
        assert_close(&to_vec(found), &to_vec(expected));
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
