//! The frozen language model: hidden states of a sequence of embeddings, and the gradient of its
//! input.
//!
//! [`decoder`] is the seam. A decoder of another family is a folder beside [`gpt2`] (its
//! configuration, its computation, the names of its weights) and a variant of
//! [`decoder::Decoder`]; outside of this folder nobody knows which family a backbone is of.

/// Weights in safetensors files, whole or in shards.
pub(crate) mod checkpoint;
/// `config.json`: which family, and its shape.
pub(crate) mod config;
/// The backbone as the rest of the crate sees it, whatever its family.
pub(crate) mod decoder;
/// GPT-2.
pub(crate) mod gpt2;
/// Llama, Qwen 2, Qwen 3 and Mistral.
pub(crate) mod llama;
/// Text becomes word ids.
pub(crate) mod tokenizer;

/// Numbers of the host become tensors, and back.
pub(crate) mod host;
/// The steps of a block on each kind of device: products, attention, norms, activations.
pub(crate) mod kernels;
/// The layers with weights that decoders are made of, each with the gradient of its input.
pub(crate) mod layers;
/// Where the documents of a batch lie in memory.
pub(crate) mod layout;
/// How many tokens go through the backbone at once.
pub(crate) mod token_budget;
