//! Model versions, as the registry shows them.

use domain::{Label, ModelInfo};

use crate::convert::name::{dataset_name, job_name, timestamp, version_name};
use crate::pb;

impl pb::ModelVersion {
    /// Encodes a registry entry with the labels that point to it.
    pub fn of(info: &ModelInfo, labels: &[Label]) -> Self {
        Self {
            name: version_name(&info.version),
            catalog: info.catalog.to_string(),
            dataset: dataset_name(&info.dataset),
            job: job_name(&info.job),
            spec: Some((&info.spec).into()),
            metrics: info
                .metrics
                .iter()
                .map(|(name, value)| (name.clone(), *value))
                .collect(),
            labels: labels.iter().map(ToString::to_string).collect(),
            create_time: Some(timestamp(info.created_ms)),
            final_fit: info.is_final_fit,
            dataset_name: info.dataset_name.clone(),
            train_seconds: info.train_seconds,
        }
    }
}
