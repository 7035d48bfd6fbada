//! The model registry as clients see it.

use domain::{Label, ModelInfo, ModelVersion};
use storage::{Kind, Storage};

use crate::Error;

/// Model versions and labels.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    storage: Storage,
}

/// A version and the labels that point to it.
pub(crate) type Labelled = (ModelInfo, Vec<Label>);

impl Models {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    pub(crate) async fn get(&self, version: &ModelVersion) -> Result<Labelled, Error> {
        let info = self.storage.registry.get(version).await?;
        self.labelled(vec![info])
            .await?
            .pop()
            .ok_or_else(|| Error::BadModel(version.to_string()))
    }

    /// Newest first.
    pub(crate) async fn list(&self) -> Result<Vec<Labelled>, Error> {
        let mut versions = self.storage.registry.list().await?;
        versions.sort_by(|a, b| {
            b.created_ms
                .cmp(&a.created_ms)
                .then_with(|| a.version.cmp(&b.version))
        });
        self.labelled(versions).await
    }

    async fn labelled(&self, versions: Vec<ModelInfo>) -> Result<Vec<Labelled>, Error> {
        let labels = self.storage.registry.labels().await?;
        let of = |info: &ModelInfo| {
            labels
                .iter()
                .filter(|(_, version)| **version == info.version)
                .map(|(label, _)| label.clone())
                .collect()
        };
        Ok(versions
            .into_iter()
            .map(|info| (info.clone(), of(&info)))
            .collect())
    }

    /// Removes a version that no label points to, then its files.
    pub(crate) async fn delete(&self, version: &ModelVersion) -> Result<(), Error> {
        let revision = self.storage.registry.revision().await?;
        let (_, labels) = self.get(version).await?;
        if let Some(label) = labels.first() {
            return Err(Error::Labelled {
                version: version.clone(),
                label: label.to_string(),
            });
        }
        self.storage.registry.delete(version, revision).await?;
        self.storage
            .artifacts
            .delete(Kind::Model, version.as_str())
            .await?;
        tracing::info!(%version, "model version deleted");
        Ok(())
    }

    pub(crate) async fn set_label(
        &self,
        label: &Label,
        version: &ModelVersion,
    ) -> Result<Labelled, Error> {
        self.storage.registry.set_label(label, version).await?;
        tracing::info!(%label, %version, "label moved");
        self.get(version).await
    }

    pub(crate) async fn remove_label(&self, label: &Label) -> Result<(), Error> {
        self.storage.registry.remove_label(label).await?;
        tracing::info!(%label, "label removed");
        Ok(())
    }
}
