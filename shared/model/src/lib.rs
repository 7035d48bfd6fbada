//! The CLLM4Rec paper in Rust: GPT-2 extended with user and item tokens.
//!
//! Reading order: [`Gpt2Config`] and [`Gpt2`] (the frozen backbone), [`Tables`] (what is learned),
//! [`prompt`] (what it reads), [`content`], [`collaborative`] and [`recommender`] (the three
//! losses), [`step`] (their gradients), [`Adam`], [`metrics`], [`Artifact`]; beside it [`ease`],
//! the linear model that it must beat or join.
//!
//! Everything here is synchronous and runs on the thread that calls it.

mod artifact;
mod candidates;
mod catalogue;
mod cold;
pub mod collaborative;
mod config;
pub mod content;
mod device;
pub mod ease;
mod error;
mod explain;
mod gemm;
mod gpt2;
pub mod hybrid;
mod import;
mod kernels;
mod layers;
mod loss;
mod memory;
pub mod metrics;
mod optimizer;
mod packing;
pub mod prompt;
pub mod recommender;
mod soft_tokens;
mod spectral;
pub mod step;
mod tables;
mod tensors;
mod tokenizer;
mod warmup;
mod work;

pub use artifact::{Artifact, new_manifest, read_manifest, rows_hash};
pub use catalogue::{Catalogue, UserState};
pub use cold::rows_from_texts;
pub use config::Gpt2Config;
pub use device::{
    ComputeDevice, Device, Precision, available as available_devices, compute_device,
    has_own_memory, n_cores, use_threads,
};
pub use ease::{Ease, ItemWeights};
pub use error::Error;
pub use explain::contributions;
pub use gemm::gemm_peak;
pub use gpt2::Gpt2;
pub use import::{load_backbone, random_backbone, save_backbone, shard_names};
pub use loss::Teacher;
pub use memory::TokenBudget;
pub use optimizer::{Adam, Moments, PairMoments};
pub use prompt::{PromptTexts, Token};
pub use spectral::Spectrum;
pub use step::{Objective, Pull, RowGradients, Step};
pub use tables::{Table, Tables, TokenTables};
pub use tensors::{NamedTensor, TensorFile, write_tensors};
pub use tokenizer::Tokenizer;
pub use warmup::Warmup;
pub use work::Work;
