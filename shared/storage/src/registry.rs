//! Model versions and the labels that point to them. Written by the coordinator
//! only.

use std::collections::BTreeMap;

use domain::{Invalid, Label, ModelInfo, ModelVersion};

use crate::error::Error;
use crate::record::{LeftOut, Listed, decode, encode};
use crate::store::{Commit, Entry, Pair, Store};

const VERSIONS: &str = "model-versions";
const LABELS: &str = "model-labels";
/// Changes with every change of a label, so that a delete notices one that came
/// in between.
const REVISION: &str = "model-labels-revision";

/// Keeps what is known about model versions, and their labels.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
    left_out: LeftOut,
}

/// The labels and what they point to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The version that each label points to.
    pub versions: BTreeMap<Label, ModelVersion>,
    /// Labels whose record cannot be understood: nobody knows where they point.
    pub unreadable: Vec<String>,
}

/// A version that a job publishes, and the labels that move to it.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The new entry of the registry.
    pub info: &'a ModelInfo,
    /// The labels that point to it from then on.
    pub labels: &'a [Label],
}

impl Registry {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            left_out: LeftOut::default(),
        }
    }

    /// Reads what is known about one version.
    pub async fn get(
        &self,
        version: &ModelVersion,
    ) -> Result<ModelInfo, Error> {
        let bytes = self
            .store
            .get(VERSIONS, version.as_str())
            .await?
            .ok_or_else(|| not_found(version))?;
        decode(&format!("model version {version}"), &bytes)
    }

    /// Lists all versions, by version.
    pub async fn list(&self) -> Result<Listed<ModelInfo>, Error> {
        let entries = self.store.scan(VERSIONS).await?;
        Ok(self.left_out.read_all("model version", &entries))
    }

    /// Reads all labels and what they point to.
    pub async fn labels(&self) -> Result<Labels, Error> {
        let mut labels = Labels::default();
        for entry in self.store.scan(LABELS).await? {
            match label_of(&entry) {
                Ok((label, version)) => {
                    labels.versions.insert(label, version);
                }
                Err(invalid) => {
                    let what = format!("label {}", entry.key);
                    let error = Error::corrupt(&what, invalid);
                    self.left_out.tell(what, &error);
                    labels.unreadable.push(entry.key);
                }
            }
        }

        Ok(labels)
    }

    /// Points a label at a version that exists.
    pub async fn set_label(
        &self,
        label: &Label,
        version: &ModelVersion,
    ) -> Result<(), Error> {
        let exists = self
            .store
            .get(VERSIONS, version.as_str())
            .await?
            .ok_or_else(|| not_found(version))?;
        let mut commit = Commit::default();
        commit.check(VERSIONS, version.as_str(), Some(exists));
        commit.set(LABELS, label.as_str(), version.as_str().into());
        commit.writes.push(new_revision());
        if self.store.commit(commit).await? {
            Ok(())
        } else {
            Err(not_found(version))
        }
    }

    /// Removes a label; removing one that is not there is no error.
    pub async fn remove_label(&self, label: &Label) -> Result<(), Error> {
        let mut commit = Commit::default();
        commit.remove(LABELS, label.as_str());
        commit.writes.push(new_revision());
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Reads what [`Registry::delete`] compares: it changes with every change
    /// of a label.
    pub async fn revision(&self) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(REVISION, REVISION).await
    }

    /// Removes a version from the registry, unless a label has moved since
    /// `revision` was read.
    pub async fn delete(
        &self,
        version: &ModelVersion,
        revision: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let mut commit = Commit::default();
        commit.check(REVISION, REVISION, revision);
        commit.remove(VERSIONS, version.as_str());
        let is_deleted = self.store.commit(commit).await?;
        if is_deleted {
            Ok(())
        } else {
            Err(Error::Contended(format!("model version {version}")))
        }
    }

    /// Removes a version from the registry as [`Registry::delete`] does, if
    /// what is known about it is still this; false where it is gone, was
    /// published again, or a label has moved.
    pub async fn delete_unchanged(
        &self,
        info: &ModelInfo,
        revision: Option<Vec<u8>>,
    ) -> Result<bool, Error> {
        let version = info.version.as_str();
        let Some(bytes) = self.store.get(VERSIONS, version).await? else {
            return Ok(false);
        };
        let now: ModelInfo =
            decode(&format!("model version {version}"), &bytes)?;
        if now != *info {
            return Ok(false);
        }

        let mut commit = Commit::default();
        commit.check(REVISION, REVISION, revision);
        commit.check(VERSIONS, version, Some(bytes));
        commit.remove(VERSIONS, version);
        self.store.commit(commit).await
    }
}

impl Publication<'_> {
    /// Lists what is written to publish the version and to move the labels to
    /// it.
    pub(crate) fn writes(&self) -> Vec<Entry> {
        let version = self.info.version.as_str();
        let mut writes =
            vec![Entry::new(VERSIONS, version, Some(encode(self.info)))];
        for label in self.labels {
            writes.push(Entry::new(
                LABELS,
                label.as_str(),
                Some(version.into()),
            ));
        }

        if !self.labels.is_empty() {
            writes.push(new_revision());
        }

        writes
    }
}

/// A label's record is the bare id of the version that it points to.
fn label_of(entry: &Pair) -> Result<(Label, ModelVersion), Invalid> {
    let version = ModelVersion::new(String::from_utf8_lossy(&entry.value))?;
    Ok((Label::new(entry.key.as_str())?, version))
}

fn new_revision() -> Entry {
    let revision = uuid::Uuid::now_v7().as_bytes().to_vec();
    Entry::new(REVISION, REVISION, Some(revision))
}

fn not_found(version: &ModelVersion) -> Error {
    Error::NotFound {
        kind: "model version",
        name: version.to_string(),
    }
}
