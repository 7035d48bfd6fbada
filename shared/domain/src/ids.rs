//! Identifiers. Each has one fallible constructor; past it nobody checks again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field::Invalid;

/// Longest external id in bytes (users, items and events come from the
/// customer's systems).
const MAX_EXTERNAL_BYTES: usize = 256;
/// Longest name of ours in bytes (a DNS label, so that a name is safe as a path
/// and as a key).
const MAX_NAME_BYTES: usize = 63;

fn check_external(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > MAX_EXTERNAL_BYTES {
        return Err(Invalid::one(
            "",
            format!(
                "must be 1 to {MAX_EXTERNAL_BYTES} bytes of UTF-8, has {}",
                text.len()
            ),
        ));
    }

    Ok(())
}

fn check_name(text: &str) -> Result<(), Invalid> {
    let is_short = text.len() <= MAX_NAME_BYTES;
    let is_plain = text.chars().all(may_be_in_name);
    if text.is_empty() || !is_short || !is_plain || text.starts_with('-') {
        let reason = format!(
            "`{text}` must be 1 to {MAX_NAME_BYTES} of a-z, 0-9 and '-', not starting with '-'"
        );
        return Err(Invalid::one("", reason));
    }

    Ok(())
}

fn may_be_in_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text`; the error names no field, the caller knows which
            /// it is.
            pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// Shows the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Names a user as the customer's systems do.
    UserId, check_external
);
text_id!(
    /// Names an item as the customer's systems do.
    ItemId, check_external
);
text_id!(
    /// Makes a repeated interaction recognisable.
    EventId, check_external
);
text_id!(
    /// The namespace that item ids and histories live in.
    Catalog, check_name
);
text_id!(
    /// Names an immutable data set: the hash of its content.
    DatasetId, check_name
);
text_id!(
    /// Names a training job.
    JobId, check_name
);
text_id!(
    /// Names a trained model: the hash of its artifact.
    ModelVersion, check_name
);
text_id!(
    /// Names a folder of the artifact store: the hash of its content.
    ArtifactId, check_name
);
text_id!(
    /// A movable name for a model version, such as `live`.
    Label, check_name
);

text_id!(
    /// Names one of the coordinator's queues.
    QueueName, check_name
);
text_id!(
    /// Something that a worker has and a job may need, such as `gpu`.
    WorkerLabel, check_name
);

impl Default for QueueName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// A data set is an artifact.
impl From<&DatasetId> for ArtifactId {
    fn from(dataset: &DatasetId) -> Self {
        Self(dataset.0.clone())
    }
}

/// A model version is an artifact.
impl From<&ModelVersion> for ArtifactId {
    fn from(version: &ModelVersion) -> Self {
        Self(version.0.clone())
    }
}

impl Label {
    /// The label that the scorer serves when a request names nothing else.
    pub fn live() -> Self {
        Self("live".to_owned())
    }

    /// The label of a version that takes a share of the users of `live`.
    pub fn canary() -> Self {
        Self("canary".to_owned())
    }

    /// The label of a version that answers beside the live one, for comparison
    /// only.
    pub fn shadow() -> Self {
        Self("shadow".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_id_has_1_to_256_bytes() {
        assert!(UserId::new("").is_err());
        assert!(UserId::new("ü".repeat(128)).is_ok());
        assert!(UserId::new("ü".repeat(129)).is_err());
    }

    #[test]
    fn a_name_is_safe_as_a_path() {
        for bad in ["", "..", "a/b", "-a", "A", "a.b"] {
            assert!(Label::new(bad).is_err(), "{bad}");
        }
        assert!(Label::new("live-2").is_ok());
    }
}
