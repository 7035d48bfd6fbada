//! What the registry knows about a trained model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ArtifactId, Catalog, DatasetId, JobId, ModelVersion};
use crate::train_spec::TrainSpec;

/// One entry of the model registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The version: the hash of its artifact.
    pub version: ModelVersion,
    /// Namespace of its item ids.
    pub catalog: Catalog,
    /// The data set that it was trained on.
    pub dataset: DatasetId,
    /// The job that trained it.
    pub job: JobId,
    /// How it was trained.
    pub spec: TrainSpec,
    /// Ranking metrics, such as `recall@20`.
    pub metrics: BTreeMap<String, f64>,
    /// True where the model was fitted once more on all interactions after it
    /// was measured.
    #[serde(default)]
    pub is_final_fit: bool,
    /// What people call its data set; empty in records from before this was
    /// noted.
    #[serde(default)]
    pub dataset_name: String,
    /// How long the attempt took that trained it; 0 in records from before this
    /// was noted.
    #[serde(default)]
    pub train_seconds: f64,
    /// When it was published, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
}

/// Which user token a prompt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserToken {
    /// The user's own row.
    Own,
    /// The prompt has no user token.
    Absent,
    /// The mean of all user rows.
    Mean,
}

/// `model.json` of an artifact: what a model is, beside its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// Version of the file layout.
    pub format: u32,
    /// Version of the prompts' words at training time.
    pub prompt_template: u32,
    /// Namespace of the item ids.
    pub catalog: Catalog,
    /// The data set that it was trained on.
    pub dataset: DatasetId,
    /// How it was trained.
    pub spec: TrainSpec,
    /// The language model in the artifact store; `None` for a light model
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<ArtifactId>,
    /// SHA-256 of the served user and item rows.
    pub rows_sha256: String,
    /// Share of the light model in the mixed scores; 0: the language model
    /// ranks alone.
    pub light_weight: f64,
    /// In the prompts of users with a row: what ranks validation best.
    pub known_user: UserToken,
    /// In the prompts of users without a row: the better of no token and the
    /// mean on validation.
    pub new_user: UserToken,
    /// Ranking metrics, such as `recall@20`.
    pub metrics: BTreeMap<String, f64>,
    /// True where the model was fitted once more on all interactions, with
    /// what was chosen on validation; the metrics are those of the model before,
    /// which had seen the training split alone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_final_fit: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}
