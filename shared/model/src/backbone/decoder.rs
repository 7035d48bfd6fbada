//! The backbone as everybody else sees it: weights, configuration and tokenizer
//! of a frozen decoder, whatever its family.

use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use domain::{MIN_POSITIONS, RandomBackbone, Shape};

use crate::backbone::checkpoint::{Checkpoint, write_checkpoint};
use crate::backbone::config::{self, Config};
use crate::backbone::gpt2::{self, Gpt2};
use crate::backbone::layout::Layout;
use crate::backbone::token_budget::TokenBudget;
use crate::backbone::tokenizer::Tokenizer;
use crate::device::Precision;
use crate::error::Error;

/// A frozen language model in front of which users and items are tokens.
#[derive(Debug, Clone)]
pub struct Backbone {
    config: Config,
    pub(crate) decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    budget: TokenBudget,
}

/// The weights, by family.
#[derive(Module, Debug)]
pub(crate) enum Decoder {
    /// A decoder whose `model_type` is `gpt2`.
    Gpt2(Gpt2),
}

/// What [`Backbone::backward`] needs of the forward pass, by family.
pub(crate) enum KeptActivations<'a> {
    /// The activations of a GPT-2.
    Gpt2(gpt2::KeptActivations<'a>),
}

impl Backbone {
    /// Reads a backbone from a folder with `config.json` and
    /// `model.safetensors`, or with the shards that
    /// `model.safetensors.index.json` names; f32, f16 or bf16.
    pub fn read(folder: &Path, device: &Device) -> Result<Self, Error> {
        let config = Config::read(&folder.join(config::FILE))?;
        let checkpoint = Checkpoint::open(folder)?;
        let decoder = match &config {
            Config::Gpt2(config) => {
                let gpt2 = Gpt2::read(config, &checkpoint, device)?;
                Decoder::Gpt2(gpt2)
            }
        };
        Ok(Self::new(config, decoder, device))
    }

    /// Draws a backbone of the given shape at random; the same one for the same
    /// seed.
    pub fn random(shape: &RandomBackbone, device: &Device) -> Self {
        let (config, gpt2) = gpt2::random::draw(shape, device);
        Self::new(Config::Gpt2(config), Decoder::Gpt2(gpt2), device)
    }

    fn new(config: Config, decoder: Decoder, device: &Device) -> Self {
        let tokenizer = match &decoder {
            Decoder::Gpt2(_) => Tokenizer::gpt2(),
        };
        Self {
            config,
            decoder,
            tokenizer,
            budget: TokenBudget::of(device),
        }
    }

    /// Writes the files that [`Self::read`] reads, as `transformers` reads them
    /// too.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let weights = match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.named_weights(),
        };
        write_checkpoint(folder, &self.config, &weights)
    }

    /// Checks that the prompts' words are in the vocabulary and that a prompt
    /// fits the positions.
    pub fn check_prompts(&self, folder: &Path) -> Result<(), Error> {
        let n_words = self.tokenizer.n_words();
        let has_words = self.n_words() >= n_words;
        let has_positions = self.n_positions() >= MIN_POSITIONS;
        if has_words && has_positions {
            return Ok(());
        }
        let reason = format!(
            "vocab_size {} and n_positions {} must be at least {n_words} (the tokenizer's words) \
             and {MIN_POSITIONS}",
            self.n_words(),
            self.n_positions()
        );
        Err(Error::malformed(folder.join(config::FILE), reason))
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
        }
    }

    /// The embeddings of some words, in the precision of the weights. Shapes:
    /// `[words]` → `[words, embed]`.
    pub(crate) fn word_embeddings(&self, words: Tensor<1, Int>) -> Tensor<2> {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.wte.val().select(0, words),
        }
    }

    /// The matrix over whose rows the softmax of the words is taken
    /// `[words, embed]`. It is the embeddings themselves where the family ties
    /// the two.
    pub(crate) fn head(&self) -> Tensor<2> {
        match &self.decoder {
            Decoder::Gpt2(gpt2) => gpt2.wte.val(),
        }
    }

    /// Turns text into the words of this backbone.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
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
        self.decoder.num_params() * self.head().dtype().size()
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
