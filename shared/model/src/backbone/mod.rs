//! The frozen language model.
//!
//! A decoder of another family gets a file beside [`gpt2`], and a variant wherever that one has one.

/// Its weights: read, written, drawn at random.
pub(crate) mod checkpoint;
/// Its shape, as `config.json` says it.
pub(crate) mod config;
/// GPT-2 as one file: forward, and the gradient of its input.
pub(crate) mod gpt2;
/// What a device computes: products, attention, norms; one implementation a device.
pub(crate) mod kernels;
/// The layers with weights that it is made of.
pub(crate) mod layers;
/// How many tokens go through it at once.
pub(crate) mod token_budget;
/// Text to word ids.
pub(crate) mod tokenizer;
