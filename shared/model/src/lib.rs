//! The CLLM4Rec paper in Rust: a language model extended with user and item
//! tokens.
//!
//! Six wings, in the order in which data flows. Each may use the ones before
//! it:
//!
//! 1. [`backbone`]: the frozen language model. Hidden states of a sequence of
//!    embeddings, and the gradient of its input.
//! 2. [`tokens`]: what goes into it. Words, users and items of a prompt become
//!    embeddings.
//! 3. [`training`]: the paper's three losses, their gradients, and the
//!    optimiser that moves the rows.
//! 4. [`reading`]: what texts say of items, as rows of words and as item rows.
//! 5. [`light`]: linear models beside it, as a start, a teacher, a baseline and
//!    a partner.
//! 6. [`serving`]: a catalogue ready to be ranked, and the reasons for a rank.
//!
//! Everything here is synchronous and runs on the thread that calls it.

// What everything else stands on.

/// The compute devices, by the names they have in settings.
mod device;
/// What can go wrong, named by what the caller can do about it.
mod error;
/// What a file is that is not what its name says.
mod foreign;
/// Rankings and how good they are.
pub mod metrics;
/// Tensors in files.
mod tensors;

// The model of the paper, in the order in which data flows.

/// The frozen language model.
mod backbone;
/// Prompts, and the rows of users and items in them.
mod tokens;
/// The three losses, their gradients and the optimiser.
mod training;

// What stands beside it, and what is served.

/// Linear models beside the language model.
mod light;
/// What texts say of items.
mod reading;
/// What a scorer computes with.
mod serving;

/// A trained model as files.
mod artifact;
/// The numbers of a model as it was measured, before its final fit.
mod measured;

pub use artifact::{
    Artifact, Vocabulary, new_manifest, read_manifest, rows_hash,
};
pub use backbone::decoder::Backbone;
pub use backbone::facts::BackboneFacts;
pub use backbone::files::weight_files;
pub use backbone::gguf::is_gguf;
pub use backbone::peak::gemm_peak;
pub use backbone::tensor_files::{no_weights, shard_names};
pub use backbone::token_budget::TokenBudget;
pub use backbone::tokenizer::Tokenizer;
pub use device::{
    ComputeDevice, Device, Precision, available_devices, compute_device,
    has_own_memory, n_cores, use_threads,
};
pub use error::Error;
pub use light::ease::{Ease, EaseSettings, Gram, ItemWeights};
pub use light::row_map::{RowMap, RowPair};
pub use light::spectral::{Matrix, Spectrum};
pub use light::{ease, hybrid};
pub use measured::{
    FitKind, MEASURED_SPLITS, copy_measured, has_measured, n_measured_bytes,
    read_measured_light, read_tables, write_measured,
};
pub use reading::cold::rows_from_texts;
pub use reading::item_words::ItemWords;
pub use reading::text_map::TextMap;
pub use reading::text_reader::{KnownWords, TextReader};
pub use reading::words::{CountedWords, WordCounter};
pub use serving::explain::contributions;
pub use serving::scoring_tables::{ScoringTables, UserState};
pub use tensors::{NamedTensor, TensorFile, write_tensors};
pub use tokens::prompt::{self, PromptTexts, Token};
pub use tokens::row_gradients::RowGradients;
pub use tokens::soft_tokens::Dropout;
pub use tokens::table::Table;
pub use tokens::tables::{Tables, TokenTables};
pub use tokens::words::{hidden_of_words, next_word_logits, word_rows};
pub use training::objective::Objective;
pub use training::optimizer::{Adam, Moments, PairMoments};
pub use training::regularizer::Pull;
pub use training::softmax::Teacher;
pub use training::step::Step;
pub use training::warmup::Warmup;
pub use training::work::Work;
pub use training::{collaborative, content, recommender, step};
