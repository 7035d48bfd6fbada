//! What a worker says about the work while it holds a job.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cost::part::{Part, Spent};
use crate::job::epoch_columns;

/// What a worker last said about the work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Name of the stage: `warmup`, `content`, `collaborative`, `finetuning`,
    /// `evaluation`.
    pub stage: String,
    /// Number of the epoch within the stage, from 1.
    pub epoch: usize,
    /// How many epochs the stage has.
    pub n_epochs: usize,
    /// Number of the step within the epoch, from 1.
    pub step: usize,
    /// How many steps the epoch has.
    pub n_steps: usize,
    /// Cross-entropy of the latest step, without regularisers: comparable
    /// between epochs.
    pub loss: f64,
    /// Real (unpadded) tokens a second.
    pub tokens_per_second: f64,
    /// Share of the whole job that is done, 0 to 1.
    pub done: f64,
    /// Estimated seconds until the end; 0 when unknown.
    pub eta_seconds: f64,
    /// Name of the device that computes.
    pub device: String,
    /// First and latest mean loss of the stages so far.
    pub stages: Vec<StageReport>,
    /// How each epoch so far went; stored column by column.
    #[serde(with = "epoch_columns")]
    pub epochs: Vec<EpochReport>,
    /// What this attempt's time went to; parts that only a newer program knows
    /// are left out.
    #[serde(deserialize_with = "known_parts")]
    pub parts: BTreeMap<Part, Spent>,
    /// Most tokens that go through the backbone at once; halved when the
    /// device's memory is full. 0 when unknown.
    pub tokens_at_once: usize,
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the stage.
    pub stage: String,
    /// Mean cross-entropy of its first ten steps.
    pub first_loss: f64,
    /// Mean cross-entropy of its latest ten steps.
    pub last_loss: f64,
    /// How many epochs it has had so far.
    pub n_epochs: usize,
}

/// How an epoch went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Name of the stage.
    pub stage: String,
    /// Number of the epoch within the stage, from 1.
    pub epoch: usize,
    /// Mean cross-entropy of its steps.
    pub loss: f64,
    /// NDCG@100 on validation, where it was measured after the epoch.
    pub valid_ndcg_100: Option<f64>,
}

fn known_parts<'de, D>(stored: D) -> Result<BTreeMap<Part, Spent>, D::Error>
where
    D: Deserializer<'de>,
{
    let stored: BTreeMap<String, Spent> = BTreeMap::deserialize(stored)?;
    let mut parts = BTreeMap::new();
    for (name, spent) in stored {
        if let Some(part) = Part::named(&name) {
            parts.insert(part, spent);
        }
    }

    Ok(parts)
}
