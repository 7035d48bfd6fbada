//! Model versions and the labels that point to them. Written by the coordinator only.

use std::collections::BTreeMap;

use domain::{Label, ModelInfo, ModelVersion};

use crate::Error;
use crate::jobs::{decode, encode};
use crate::store::{Commit, Entry, Store};

const VERSIONS: &str = "model-versions";
const LABELS: &str = "model-labels";

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
        let bytes = self.store.get(VERSIONS, version.as_str()).await?.ok_or_else(|| not_found(version))?;
        decode(&format!("model version {version}"), &bytes)
    }

    /// All versions, by version.
    pub async fn list(&self) -> Result<Vec<ModelInfo>, Error> {
        let entries = self.store.scan(VERSIONS).await?;
        entries.iter().map(|(version, bytes)| decode(&format!("model version {version}"), bytes)).collect()
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
        let exists = self.store.get(VERSIONS, version.as_str()).await?.ok_or_else(|| not_found(version))?;
        let mut commit = Commit::default();
        commit.checks.push(Entry::new(VERSIONS, version.as_str(), Some(exists)));
        commit.writes.push(Entry::new(LABELS, label.as_str(), Some(version.as_str().into())));
        if self.store.commit(commit).await? { Ok(()) } else { Err(not_found(version)) }
    }

    /// Removes a label; removing one that is not there is no error.
    pub async fn remove_label(&self, label: &Label) -> Result<(), Error> {
        let writes = vec![Entry::new(LABELS, label.as_str(), None)];
        self.store.commit(Commit { checks: Vec::new(), writes }).await.map(|_| ())
    }

    /// Removes a version from the registry.
    pub async fn delete(&self, version: &ModelVersion) -> Result<(), Error> {
        self.get(version).await?;
        let writes = vec![Entry::new(VERSIONS, version.as_str(), None)];
        self.store.commit(Commit { checks: Vec::new(), writes }).await.map(|_| ())
    }
}

/// The writes that publish a version and move labels to it.
pub(crate) fn publication(info: &ModelInfo, labels: &[Label]) -> Vec<Entry> {
    let version = info.version.as_str();
    let mut writes = vec![Entry::new(VERSIONS, version, Some(encode(info)))];
    writes.extend(labels.iter().map(|label| Entry::new(LABELS, label.as_str(), Some(version.into()))));
    writes
}

fn not_found(version: &ModelVersion) -> Error {
    Error::NotFound { kind: "model version", name: version.to_string() }
}
