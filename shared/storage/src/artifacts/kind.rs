//! What an artifact can be.

use domain::ArtifactId;

use crate::error::Error;

/// What an artifact is; each kind has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A data set, checked and split.
    Dataset,
    /// A trained model without its backbone.
    Model,
    /// A frozen language model.
    Backbone,
    /// A job's state between two attempts.
    Checkpoint,
}

impl Kind {
    /// The kind whose artifacts are in a folder of this name.
    pub(super) fn in_folder(name: &str) -> Option<Self> {
        [Self::Dataset, Self::Model, Self::Backbone, Self::Checkpoint]
            .into_iter()
            .find(|kind| kind.folder() == name)
    }

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Dataset => "datasets",
            Self::Model => "models",
            Self::Backbone => "backbones",
            Self::Checkpoint => "checkpoints",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dataset => "data set",
            Self::Model => "model",
            Self::Backbone => "backbone",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// What makes a damaged one whole again.
    fn cure(self) -> &'static str {
        match self {
            Self::Dataset => "importing it again replaces it",
            Self::Model => "training it again replaces it",
            Self::Backbone => "training on it again replaces it",
            Self::Checkpoint => "its job starts over",
        }
    }

    /// Says which artifact damage was found in, and what to do.
    pub(super) fn damaged(self, id: &ArtifactId, error: Error) -> Error {
        let Error::Corrupt { what, reason } = error else {
            return error;
        };

        Error::Corrupt {
            what: format!("{} {id}", self.name()),
            reason: format!("{what}: {reason}; {}", self.cure()),
        }
    }
}
