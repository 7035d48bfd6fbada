//! The frozen language model: hidden states of a sequence of embeddings, and
//! the gradient of its input.
//!
//! [`decoder`] is the seam. A decoder of another family is a folder beside
//! [`gpt2`] (its configuration, its computation, the names of its weights) and
//! a variant of [`decoder::Decoder`]; outside of this folder nobody knows which
//! family a backbone is of.

// The seam, and what a decoder brings along.

/// The backbone as the rest of the crate sees it, whatever its family.
pub(crate) mod decoder;

/// Bounds of the sizes in a configuration.
pub(crate) mod bounds;
/// Weights by name, from whatever files.
pub(crate) mod checkpoint;
/// What a decoder needs, compared with a checkpoint's headers.
pub(crate) mod comparison;
/// `config.json`: the family of a decoder, and its shape.
pub(crate) mod config;
/// What a backbone's files say about it, their weights unread.
pub(crate) mod facts;
/// A backbone's files, opened and compared with each other.
pub(crate) mod files;
/// GGUF files, read as if they were such a checkpoint.
pub(crate) mod gguf;
/// The safetensors files of a folder: one, or shards.
pub(crate) mod tensor_files;
/// How many tokens go through the backbone at once.
pub(crate) mod token_budget;
/// Text becomes word ids.
pub(crate) mod tokenizer;

/// The family of GPT-2.
pub(crate) mod gpt2;
/// The family of Llama, Qwen 2, Qwen 3 and Mistral.
pub(crate) mod llama;

// What decoders of all families are built from.

/// The layers with weights, each with the gradient of its input.
pub(crate) mod layers;
/// Where the documents of a batch lie in memory.
pub(crate) mod layout;

/// A block's steps for each device: products, attention, norms.
pub(crate) mod kernels;
/// How fast a device multiplies at best.
pub(crate) mod peak;

/// Numbers of the host become tensors, and back.
pub(crate) mod host;
