//! What a user state depends on, all of it: a state that is found under its key
//! is never stale.

use domain::ModelVersion;
use model::Precision;
use model::prompt::TEMPLATE_VERSION;
use sha2::{Digest, Sha256};

use crate::compute::language_model::PromptUser;

/// (model version, row of the user token or none, ordered item rows of the
/// effective history, prompt template, precision), as a place in the caches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StateKey {
    /// States in one group are forgotten together.
    pub(super) group: String,
    pub(super) field: String,
}

impl StateKey {
    /// States with users' own tokens lie together by user, so that deleting a
    /// user forgets them; the others belong to a history, whoever has it.
    pub(crate) fn new(
        version: &ModelVersion,
        user: PromptUser,
        items: &[u32],
        precision: Precision,
    ) -> Self {
        let history = history_hash(items, precision);
        let whose = match user {
            PromptUser::Own(row) => {
                return Self {
                    group: group_of_user(version, row),
                    field: history,
                };
            }
            PromptUser::Mean(_) => "mean",
            PromptUser::Absent => "none",
        };
        Self {
            group: format!("states:{version}:{whose}:{history}"),
            field: "state".to_owned(),
        }
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.group.len() + self.field.len()
    }
}

/// The group of all states that have one user's own token, in one version.
pub(super) fn group_of_user(version: &ModelVersion, row: u32) -> String {
    format!("states:{version}:{row}")
}

fn history_hash(items: &[u32], precision: Precision) -> String {
    let mut hash = Sha256::new();
    hash.update(TEMPLATE_VERSION.to_le_bytes());
    for item in items {
        hash.update(item.to_le_bytes());
    }
    match precision {
        Precision::F32 => {} // the keys from before there was another
        Precision::Bf16 => hash.update(precision.name()),
    }
    hex::encode(hash.finalize())
}
