//! Everything that is stored, as a collection looks at it.

use std::collections::BTreeSet;

use domain::{ArtifactId, Job, JobId, ModelInfo, ModelManifest, ModelVersion};
use storage::{Artifacts, Kind, Ownership, Storage};

use crate::error::Error;

/// What there is, and what cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) jobs: Vec<Job>,
    /// Ids of the jobs that have packed events.
    pub(crate) with_events: BTreeSet<String>,
    pub(crate) versions: Vec<StoredVersion>,
    /// Versions that a label points to.
    pub(crate) labelled: BTreeSet<ModelVersion>,
    pub(crate) artifacts: Vec<StoredArtifact>,
    /// Checkpoints are removed by others; their jobs stay as long as they do.
    pub(crate) checkpoints: BTreeSet<ArtifactId>,
    /// Names of records that cannot be read, for people.
    pub(crate) unreadable: Vec<String>,
    /// What these may need.
    pub(crate) doubt: Doubt,
}

/// What records that cannot be read may need: it stays, and so does what that
/// needs.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// Jobs may have been submitted on any data set or backbone, may start from
    /// any version, and may have
    /// stored any model that is no version yet.
    pub(crate) has_job: bool,
    /// Jobs that one of those waits for.
    pub(crate) followed: BTreeSet<JobId>,
    /// Versions whose own record cannot be read: their models are known by the
    /// same name, and what these name is not.
    pub(crate) versions: BTreeSet<ModelVersion>,
    /// A version's model may need any backbone.
    pub(crate) has_manifest: bool,
    /// A label may point to any version.
    pub(crate) has_label: bool,
}

/// A version of the registry.
#[derive(Debug, Clone)]
pub(crate) struct StoredVersion {
    pub(crate) info: ModelInfo,
    /// The backbone artifact that it is scored with.
    pub(crate) backbone: Option<ArtifactId>,
}

/// A model, data set or backbone of the artifact store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredArtifact {
    pub(crate) kind: Kind,
    pub(crate) id: ArtifactId,
    /// When it was stored or last asked for, in milliseconds since 1970-01-01 UTC.
    pub(crate) stored_ms: i64,
}

impl Inventory {
    /// Reads all records, and looks at the artifacts. Artifacts come first: one
    /// that is stored meanwhile is not seen, one that is asked for is.
    pub(crate) async fn take(storage: &Storage) -> Result<Self, Error> {
        let mut inventory = Self::default();
        for kind in [Kind::Model, Kind::Dataset, Kind::Backbone] {
            inventory.look_at(&storage.artifacts, kind).await?;
        }

        let checkpoints = storage.artifacts.list(Kind::Checkpoint).await?;
        inventory.checkpoints = checkpoints.into_iter().collect();
        let jobs = storage.jobs.list().await?;
        inventory.jobs = jobs.records;
        inventory.doubt_jobs(storage, &jobs.unreadable).await?;
        inventory.cannot_read("jobs", jobs.unreadable);
        inventory.with_events = storage.jobs.with_packed_events().await?;
        let versions = storage.registry.list().await?;
        for info in versions.records {
            inventory.look_into(&storage.artifacts, info).await?;
        }
        inventory.doubt_versions(&versions.unreadable);
        inventory.cannot_read("modelVersions", versions.unreadable);
        let labels = storage.registry.labels().await?;
        inventory.labelled = labels.versions.into_values().collect();
        inventory.doubt.has_label = !labels.unreadable.is_empty();
        inventory.cannot_read("labels", labels.unreadable);
        // Last: a folder that is not mounted looks like one that is empty.
        require_ours(storage).await?;
        Ok(inventory)
    }

    async fn look_at(
        &mut self,
        artifacts: &Artifacts,
        kind: Kind,
    ) -> Result<(), Error> {
        for id in artifacts.list(kind).await? {
            let stored_ms = artifacts.stored_ms(kind, &id).await?;
            let Some(stored_ms) = stored_ms else {
                continue; // somebody deleted it meanwhile
            };
            self.artifacts.push(StoredArtifact {
                kind,
                id,
                stored_ms,
            });
        }
        Ok(())
    }

    /// Adds a version with what its manifest names.
    async fn look_into(
        &mut self,
        artifacts: &Artifacts,
        info: ModelInfo,
    ) -> Result<(), Error> {
        let id = ArtifactId::from(&info.version);
        let read = artifacts.read(Kind::Model, &id, "model.json").await;
        let manifest = match read {
            Ok(bytes) => serde_json::from_slice::<ModelManifest>(&bytes).ok(),
            Err(
                storage::Error::NotFound { .. }
                | storage::Error::Corrupt { .. }
                | storage::Error::File { .. },
            ) => None,
            Err(error) => return Err(error.into()),
        };
        if manifest.is_none() {
            self.unreadable.push(format!("models/{id}"));
            self.doubt.has_manifest = true;
        }
        let backbone = manifest.and_then(|manifest| manifest.backbone);
        self.versions.push(StoredVersion { info, backbone });
        Ok(())
    }

    async fn doubt_jobs(
        &mut self,
        storage: &Storage,
        unreadable: &[String],
    ) -> Result<(), Error> {
        self.doubt.has_job = !unreadable.is_empty();
        if !self.doubt.has_job {
            return Ok(());
        }

        for before in storage.jobs.awaited().await? {
            let followers = storage.jobs.followers(&before).await?;
            let is_in_doubt = |job: &JobId| {
                unreadable.iter().any(|name| name == job.as_str())
            };
            if followers.iter().any(is_in_doubt) {
                self.doubt.followed.insert(before);
            }
        }

        Ok(())
    }

    fn doubt_versions(&mut self, unreadable: &[String]) {
        let versions = unreadable.iter().map(ModelVersion::new);
        self.doubt.versions.extend(versions.filter_map(Result::ok));
    }

    fn cannot_read(&mut self, collection: &str, keys: Vec<String>) {
        for key in keys {
            self.unreadable.push(format!("{collection}/{key}"));
        }
    }
}

/// Refuses artifacts that the records of another store name, or that may be
/// others than this store's.
async fn require_ours(storage: &Storage) -> Result<(), Error> {
    let folder = storage.artifacts.claims_folder();
    let folder = folder.display();
    let why = match storage.ownership().await? {
        Ownership::Ours => return Ok(()),
        Ownership::NotOurs => format!(
            "{folder} does not say that these artifacts are this store's; \
             once the right store and artifacts are in place, start the coordinator again"
        ),
        Ownership::Shared(others) => format!(
            "the artifacts are in use by other stores too ({}); \
             remove the files of those that are gone from {folder}",
            others.join(", ")
        ),
    };
    Err(Error::NotOurs(why))
}
