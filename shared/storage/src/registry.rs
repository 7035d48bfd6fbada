//! Model versions and the labels that point to them. Written by the coordinator only.

use std::collections::BTreeMap;

use domain::{Label, ModelInfo, ModelVersion};

use crate::Error;
use crate::store::{Commit, Entry, Store, decode, encode};

const VERSIONS: &str = "model-versions";
const LABELS: &str = "model-labels";
/// Changes with every change of a label, so that a delete notices one that came in between.
const REVISION: &str = "model-labels-revision";

/// The model registry.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
}

impl Registry {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// One version.
    pub async fn get(&self, version: &ModelVersion) -> Result<ModelInfo, Error> {
        let bytes = self
            .store
            .get(VERSIONS, version.as_str())
            .await?
            .ok_or_else(|| not_found(version))?;
        decode(&format!("model version {version}"), &bytes)
    }

    /// All versions, by version.
    pub async fn list(&self) -> Result<Vec<ModelInfo>, Error> {
        let entries = self.store.scan(VERSIONS).await?;
        entries
            .iter()
            .map(|(version, bytes)| decode(&format!("model version {version}"), bytes))
            .collect()
    }

    /// All labels and what they point to.
    pub async fn labels(&self) -> Result<BTreeMap<Label, ModelVersion>, Error> {
        let mut labels = BTreeMap::new();
        for (label, version) in self.store.scan(LABELS).await? {
            let invalid = |e: domain::Invalid| Error::corrupt(format!("label {label}"), e);
            let version = ModelVersion::new(String::from_utf8_lossy(&version)).map_err(invalid)?;
            labels.insert(Label::new(label.clone()).map_err(invalid)?, version);
        }
        Ok(labels)
    }

    /// Points a label at a version that exists.
    pub async fn set_label(&self, label: &Label, version: &ModelVersion) -> Result<(), Error> {
        let exists = self
            .store
            .get(VERSIONS, version.as_str())
            .await?
            .ok_or_else(|| not_found(version))?;
        let mut commit = Commit::default();
        commit
            .checks
            .push(Entry::new(VERSIONS, version.as_str(), Some(exists)));
        commit.writes.push(Entry::new(
            LABELS,
            label.as_str(),
            Some(version.as_str().into()),
        ));
        commit.writes.push(new_revision());
        if self.store.commit(commit).await? {
            Ok(())
        } else {
            Err(not_found(version))
        }
    }

    /// Removes a label; removing one that is not there is no error.
    pub async fn remove_label(&self, label: &Label) -> Result<(), Error> {
        let writes = vec![Entry::new(LABELS, label.as_str(), None)];
        self.store
            .commit(Commit {
                checks: Vec::new(),
                writes,
            })
            .await
            .map(|_| ())
    }

    /// What [`Registry::delete`] compares.
    pub async fn revision(&self) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(REVISION, REVISION).await
    }

    /// Removes a version from the registry, unless a label has moved since `revision` was read.
    pub async fn delete(
        &self,
        version: &ModelVersion,
        revision: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let checks = vec![Entry::new(REVISION, REVISION, revision)];
        let writes = vec![Entry::new(VERSIONS, version.as_str(), None)];
        let is_deleted = self.store.commit(Commit { checks, writes }).await?;
        if is_deleted {
            Ok(())
        } else {
            Err(Error::Contended(format!("model version {version}")))
        }
    }
}

/// The writes that publish a version and move labels to it.
pub(crate) fn publication(info: &ModelInfo, labels: &[Label]) -> Vec<Entry> {
    let version = info.version.as_str();
    let mut writes = vec![Entry::new(VERSIONS, version, Some(encode(info)))];
    if !labels.is_empty() {
        writes.push(new_revision());
    }
    writes.extend(
        labels
            .iter()
            .map(|label| Entry::new(LABELS, label.as_str(), Some(version.into()))),
    );
    writes
}

fn new_revision() -> Entry {
    Entry::new(
        REVISION,
        REVISION,
        Some(uuid::Uuid::now_v7().as_bytes().to_vec()),
    )
}

fn not_found(version: &ModelVersion) -> Error {
    Error::NotFound {
        kind: "model version",
        name: version.to_string(),
    }
}
