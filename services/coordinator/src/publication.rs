//! What a worker's model must be before it is published.

use domain::{
    ArtifactId, DatasetId, Job, ModelInfo, ModelManifest, ModelVersion,
};
use storage::{Artifacts, Kind, now_ms};

use crate::about_dataset::{self, About};
use crate::error::{BadModel, Error};

/// Checks a stored model, and says what the registry will know about it: every
/// byte of it and of its language model, if it has one, is what its id says,
/// and it was trained for this job. A backbone that many models share is read
/// once, and again when a file of it was touched.
pub(crate) async fn verified(
    artifacts: &Artifacts,
    job: &Job,
    version: &ModelVersion,
) -> Result<ModelInfo, Error> {
    let id = ArtifactId::from(version);
    // They are not garbage before the registry names them.
    artifacts.touch(Kind::Model, &id).await;
    artifacts.open_verified(Kind::Model, &id).await?;
    let bytes = artifacts.read(Kind::Model, &id, "model.json").await?;
    let manifest: ModelManifest =
        serde_json::from_slice(&bytes).map_err(BadModel::Manifest)?;
    if manifest.spec != job.spec {
        return Err(BadModel::OtherSpecification.into());
    }

    if let Some(backbone) = &manifest.backbone {
        artifacts.touch(Kind::Backbone, backbone).await;
        artifacts.verify(Kind::Backbone, backbone).await?;
    }

    let parts = job.progress.parts.values();
    let seconds: f64 = parts.map(|spent| spent.seconds).sum();
    Ok(ModelInfo {
        dataset_name: dataset_name(artifacts, &manifest.dataset).await,
        // The sum may overflow, and JSON has no infinity.
        train_seconds: seconds.min(f64::MAX),
        version: version.clone(),
        catalog: manifest.catalog,
        dataset: manifest.dataset,
        job: job.id.clone(),
        spec: manifest.spec,
        metrics: manifest.metrics,
        is_final_fit: manifest.is_final_fit,
        created_ms: now_ms(),
    })
}

/// What people call a data set; empty where its manifest cannot be read, which
/// is no reason to lose a model.
async fn dataset_name(artifacts: &Artifacts, id: &DatasetId) -> String {
    match about_dataset::read::<About>(artifacts, id).await {
        Ok(about) => about.name,
        Err(error) => {
            let error = service::chain(&error);
            tracing::warn!(dataset = %id, error, "a version's data set has no name");
            String::new()
        }
    }
}
