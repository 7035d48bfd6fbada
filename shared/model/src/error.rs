//! What can go wrong while a model is loaded or computed, named by what the caller can do about it.

use std::path::PathBuf;

use domain::Stage;

/// An error of the model crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be; `reason` says what is wrong and what would be right.
    #[error("{path} is not usable: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of a checkpoint has another shape than the configuration asks for.
    #[error("{path}: tensor `{name}` has shape {found:?}, config.json asks for {expected:?}")]
    Shape {
        /// Of the tensor file.
        path: PathBuf,
        /// Of the tensor.
        name: String,
        /// In the file.
        found: Vec<usize>,
        /// By the configuration.
        expected: Vec<usize>,
    },
    /// A tensor is missing from a checkpoint.
    #[error(
        "{path}: tensor `{name}` is missing; is this a checkpoint as `save_pretrained` writes it?"
    )]
    Missing {
        /// Of the tensor file.
        path: PathBuf,
        /// Of the tensor.
        name: String,
    },
    /// A backbone whose files say nothing of how text becomes words.
    #[error(
        "the backbone has no tokenizer: put the `tokenizer.json` that belongs to its checkpoint \
         beside the weights"
    )]
    NoTokenizer,
    /// A name of a device that this build does not have.
    #[error("device `{name}` is not available in this build; available: {available}")]
    Device {
        /// What was asked for.
        name: String,
        /// What could be asked for.
        available: String,
    },
    /// A device that does not compute in bf16.
    #[error(
        "device `{device}` has no bf16 in hardware (LibTorch on a CPU with AVX-512-BF16 or AMX, or on a graphics card, \
         has); set precision = \"f32\""
    )]
    Precision {
        /// What was asked.
        device: String,
    },
    /// A device without room for the least that can be computed at once.
    #[error(
        "the device has no memory for {n_tokens} tokens at once ({reason}); free some, or take a smaller backbone"
    )]
    OutOfMemory {
        /// What was tried last.
        n_tokens: usize,
        /// The device's words.
        reason: String,
    },
    /// A loss is not a finite number.
    #[error("the loss of stage {stage} is {loss}; lower the learning rate or λ")]
    Diverged {
        /// Where.
        stage: Stage,
        /// NaN or infinite.
        loss: f64,
    },
}

impl Error {
    /// A file that cannot be accessed.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// A file with wrong content.
    pub fn malformed(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
