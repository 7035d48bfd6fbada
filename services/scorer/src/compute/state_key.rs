//! What a user state depends on, all of it: a state that is found under its key
//! is never stale.

use domain::ModelVersion;
use model::Precision;
use model::prompt::TEMPLATE_VERSION;
use sha2::{Digest, Sha256};

use crate::compute::language_model::PromptUser;

/// (model version, row of the user token or none, ordered item rows of the
/// effective history, prompt template, precisions), as a place in the caches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StateKey {
    /// States in one group are forgotten together.
    pub(super) group: String,
    pub(super) field: String,
}

/// What a state was rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precisions {
    /// Precision of the item rows and of the state itself.
    pub(crate) scoring: Precision,
    /// Precision of the weights that it was computed with.
    pub(crate) backbone: Precision,
}

impl StateKey {
    /// States with users' own tokens lie together by user, so that deleting a
    /// user forgets them; the others belong to a history, whoever has it.
    pub(crate) fn new(
        version: &ModelVersion,
        user: PromptUser,
        items: &[u32],
        precisions: Precisions,
    ) -> Self {
        let history = history_hash(items, precisions);
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

fn history_hash(items: &[u32], precisions: Precisions) -> String {
    let mut hash = Sha256::new();
    hash.update(TEMPLATE_VERSION.to_le_bytes());
    for item in items {
        hash.update(item.to_le_bytes());
    }
    // What is f32 adds nothing: the keys from before there was another.
    match precisions.scoring {
        Precision::F32 => {}
        Precision::Bf16 => hash.update(precisions.scoring.name()),
    }
    match precisions.backbone {
        Precision::F32 => {}
        Precision::Bf16 => {
            hash.update(format!("backbone {}", precisions.backbone.name()));
        }
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn states_of_different_precisions_have_different_keys() {
        let version = ModelVersion::new("a".repeat(32)).unwrap();
        let mut fields = HashSet::new();
        for scoring in [Precision::F32, Precision::Bf16] {
            for backbone in [Precision::F32, Precision::Bf16] {
                let precisions = Precisions { scoring, backbone };
                let user = PromptUser::Own(3);
                let key = StateKey::new(&version, user, &[1, 2], precisions);
                fields.insert(key.field);
            }
        }
        assert_eq!(fields.len(), 4);
    }
}
