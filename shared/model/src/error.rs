//! What can go wrong while a model is loaded or computed, named by what the
//! caller can do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use domain::Stage;

/// An error of the model crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file that was to be read or written.
        path: PathBuf,
        /// What the operating system answered.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be; `reason` says what is wrong and what
    /// would be right.
    #[error("{path} is not usable: {reason}")]
    Malformed {
        /// The file whose content is wrong.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of a checkpoint has another shape than the configuration asks
    /// for.
    #[error(
        "{path}: tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}; \
         take config.json and weights from the same checkpoint"
    )]
    Shape {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The name that the tensor has in the file.
        name: String,
        /// The dimensions that the file gives it.
        found: Vec<usize>,
        /// The dimensions that follow from the configuration.
        expected: Vec<usize>,
    },
    /// A tensor is missing from a checkpoint.
    #[error(
        "{path}: tensor `{name}` is missing; take config.json and weights from the same \
         checkpoint, as `save_pretrained` writes it"
    )]
    Missing {
        /// The file that should hold the tensor.
        path: PathBuf,
        /// The name under which it was looked for.
        name: String,
    },
    /// A backbone's files say nothing of how text becomes words.
    #[error(
        "the backbone has no tokenizer: put the `tokenizer.json` that belongs to its checkpoint \
         beside the weights"
    )]
    NoTokenizer,
    /// The settings name a device that this build does not have.
    #[error(
        "device `{name}` is not available in this build; available: {available}"
    )]
    Device {
        /// The device that the settings name.
        name: String,
        /// The devices that they could name, separated by commas.
        available: String,
    },
    /// A device that does not compute in bf16 was asked to.
    #[error(
        "device `{device}` has no bf16 in hardware (LibTorch on a CPU with AVX-512-BF16 or AMX, or on a graphics card, \
         has); set precision = \"f32\""
    )]
    Precision {
        /// The device that was to compute in bf16.
        device: String,
    },
    /// A device has no room for the least that can be computed at once.
    #[error(
        "the device has no memory for {n_tokens} tokens at once ({reason}); free some, or take a smaller backbone"
    )]
    OutOfMemory {
        /// How many tokens the last attempt was for.
        n_tokens: usize,
        /// What the device's library said.
        reason: String,
    },
    /// A loss is not a finite number.
    #[error(
        "the loss of stage {stage} is {loss}; lower the learning rate or λ"
    )]
    Diverged {
        /// The stage whose loss it is.
        stage: Stage,
        /// The loss: NaN or infinite.
        loss: f64,
    },
}

impl Error {
    /// Makes the error of an operation on a file, for `map_err`.
    pub fn file(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// The error for a file that is not there, and `advice` on what to do.
    pub(crate) fn absent(path: impl Into<PathBuf>, advice: &str) -> Self {
        let reason = format!("there is no such file; {advice}");
        let source = std::io::Error::new(ErrorKind::NotFound, reason);
        Self::file(path)(source)
    }

    /// The error for a file with wrong content.
    pub fn malformed(
        path: impl Into<PathBuf>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            path: path.into(),
            reason: reason.into(),
        }
    }
}
