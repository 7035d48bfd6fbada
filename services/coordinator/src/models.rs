//! The model registry as clients see it.

use domain::{ArtifactId, Label, ModelInfo, ModelVersion};
use storage::{Kind, Labels, Listed, Storage};

use crate::error::Error;

/// Answers what clients ask about model versions and labels.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    storage: Storage,
}

/// A version and the labels that point to it.
#[derive(Debug, Clone)]
pub(crate) struct LabelledVersion {
    pub(crate) info: ModelInfo,
    pub(crate) labels: Vec<Label>,
}

impl Models {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    pub(crate) async fn get(
        &self,
        version: &ModelVersion,
    ) -> Result<LabelledVersion, Error> {
        let info = self.storage.registry.get(version).await?;
        let labels = self.storage.registry.labels().await?;
        Ok(labelled(info, &labels))
    }

    /// Lists the versions, newest first.
    pub(crate) async fn list(&self) -> Result<Listed<LabelledVersion>, Error> {
        let mut versions = self.storage.registry.list().await?;
        versions.records.sort_by(|a, b| {
            let newest_first = b.created_ms.cmp(&a.created_ms);
            newest_first.then_with(|| a.version.cmp(&b.version))
        });
        let labels = self.storage.registry.labels().await?;
        let mut records = Vec::with_capacity(versions.records.len());
        for info in versions.records {
            records.push(labelled(info, &labels));
        }

        Ok(Listed {
            records,
            unreadable: versions.unreadable,
        })
    }

    /// Removes a version that no label points to, then its files; also one
    /// whose record cannot be read.
    pub(crate) async fn delete(
        &self,
        version: &ModelVersion,
    ) -> Result<(), Error> {
        let registry = &self.storage.registry;
        let revision = registry.revision().await?;
        match registry.get(version).await {
            Ok(_) | Err(storage::Error::Corrupt { .. }) => {}
            Err(error) => return Err(error.into()),
        }

        self.refuse_labelled(version).await?;
        registry.delete(version, revision).await?;
        let artifact = ArtifactId::from(version);
        self.storage
            .artifacts
            .delete(Kind::Model, &artifact)
            .await?;
        tracing::info!(%version, "model version deleted");
        Ok(())
    }

    /// Removes a version from the registry if no label points to it and it was
    /// not published again since it was read; its files stay. Returns false
    /// where it stays or is gone.
    pub(crate) async fn retire(&self, info: &ModelInfo) -> Result<bool, Error> {
        let registry = &self.storage.registry;
        let revision = registry.revision().await?;
        match self.refuse_labelled(&info.version).await {
            Ok(()) => {}
            Err(Error::Labelled { .. } | Error::UnreadableLabel(_)) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }

        Ok(registry.delete_unchanged(info, revision).await?)
    }

    async fn refuse_labelled(
        &self,
        version: &ModelVersion,
    ) -> Result<(), Error> {
        let labels = self.storage.registry.labels().await?;
        if let Some(label) = labels_of(version, &labels).first() {
            return Err(Error::Labelled {
                version: version.clone(),
                label: label.to_string(),
            });
        }

        if let Some(label) = labels.unreadable.first() {
            return Err(Error::UnreadableLabel(label.clone()));
        }

        Ok(())
    }

    pub(crate) async fn set_label(
        &self,
        label: &Label,
        version: &ModelVersion,
    ) -> Result<LabelledVersion, Error> {
        self.storage.registry.set_label(label, version).await?;
        tracing::info!(%label, %version, "label moved");
        self.get(version).await
    }

    pub(crate) async fn remove_label(
        &self,
        label: &Label,
    ) -> Result<(), Error> {
        self.storage.registry.remove_label(label).await?;
        tracing::info!(%label, "label removed");
        Ok(())
    }
}

fn labelled(info: ModelInfo, labels: &Labels) -> LabelledVersion {
    let labels = labels_of(&info.version, labels);
    LabelledVersion { info, labels }
}

fn labels_of(version: &ModelVersion, labels: &Labels) -> Vec<Label> {
    let mut found = Vec::new();
    for (label, target) in &labels.versions {
        if target == version {
            found.push(label.clone());
        }
    }

    found
}
