//! Looks around and removes what nothing needs.

use std::collections::BTreeSet;
use std::time::Duration;

use storage::{Storage, now_ms};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::gc::garbage::Garbage;
use crate::gc::inventory::{Inventory, StoredVersion};
use crate::gc::keep::Keep;
use crate::models::Models;

/// Time between two collections.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Collects garbage; clones do the same.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    pub(crate) storage: Storage,
    pub(crate) models: Models,
    pub(crate) keep: Keep,
}

/// What a collection found.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) found: Vec<Found>,
    /// Names of records that cannot be read.
    pub(crate) unreadable: Vec<String>,
}

/// Something that nothing needs, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) garbage: Garbage,
    pub(crate) n_bytes: u64,
}

impl Collector {
    /// Says what nothing needs at a time, in milliseconds since 1970-01-01 UTC.
    pub(crate) async fn look(&self, at_ms: i64) -> Result<Collection, Error> {
        let inventory = Inventory::take(&self.storage).await?;
        self.sized(inventory, at_ms).await
    }

    async fn sized(
        &self,
        inventory: Inventory,
        at_ms: i64,
    ) -> Result<Collection, Error> {
        let mut found = Vec::new();
        for garbage in inventory.garbage(self.keep, at_ms) {
            let n_bytes = self.n_bytes(&garbage).await;
            found.push(Found { garbage, n_bytes });
        }

        Ok(Collection {
            found,
            unreadable: inventory.unreadable,
        })
    }

    /// Removes what nothing needs at a time; says what that was. Jobs and
    /// versions go first, and what they named is looked at once more: by then
    /// somebody may want it.
    pub(crate) async fn collect(
        &self,
        at_ms: i64,
    ) -> Result<Collection, Error> {
        let inventory = Inventory::take(&self.storage).await?;
        let garbage = inventory.garbage(self.keep, at_ms);
        let records = self.remove_records(&inventory, &garbage).await?;
        let mut found = Vec::new();
        for garbage in records {
            let n_bytes = self.n_bytes(&garbage).await;
            found.push(Found { garbage, n_bytes });
        }

        let again = Inventory::take(&self.storage).await?;
        let older_than_ms = again.artifacts_young_since_ms(self.keep, at_ms);
        let mut again = self.sized(again, at_ms).await?;
        for artifact in again.found.drain(..) {
            let Garbage::Artifact(kind, id) = &artifact.garbage else {
                continue;
            };
            let artifacts = &self.storage.artifacts;
            if !artifacts.delete_older(*kind, id, older_than_ms).await? {
                continue;
            }

            // A version's model was counted with it.
            let is_counted = found.iter().any(|found: &Found| {
                found.garbage.artifact() == Some((*kind, id.clone()))
            });
            if !is_counted {
                found.push(artifact);
            }
        }

        again.found = found;
        Ok(again)
    }

    /// Removes jobs and versions, those that are still as they were when they
    /// were read; returns which.
    async fn remove_records(
        &self,
        inventory: &Inventory,
        garbage: &[Garbage],
    ) -> Result<Vec<Garbage>, Error> {
        let mut old_jobs = BTreeSet::new();
        let mut old_events = BTreeSet::new();
        let mut old_versions = BTreeSet::new();
        for one in garbage {
            match one {
                Garbage::Job(id) => {
                    old_jobs.insert(id);
                }
                Garbage::Events(id) => {
                    old_events.insert(id);
                }
                Garbage::Version(id) => {
                    old_versions.insert(id);
                }
                Garbage::Artifact(..) => {}
            }
        }

        let mut jobs = inventory.jobs.clone();
        jobs.retain(|job| old_jobs.contains(&job.id));
        let mut removed = Vec::new();
        for id in self.storage.jobs.delete_ended(&jobs).await? {
            removed.push(Garbage::Job(id));
        }

        for job in &inventory.jobs {
            let is_old = old_events.contains(&job.id);
            if is_old && self.storage.jobs.drop_events(job).await? {
                removed.push(Garbage::Events(job.id.clone()));
            }
        }

        for StoredVersion { info, .. } in &inventory.versions {
            let is_old = old_versions.contains(&info.version);
            if is_old && self.models.retire(info).await? {
                removed.push(Garbage::Version(info.version.clone()));
            }
        }

        Ok(removed)
    }

    /// The room that something takes; none where it is gone or damaged.
    async fn n_bytes(&self, garbage: &Garbage) -> u64 {
        let Some((kind, id)) = garbage.artifact() else {
            return 0;
        };
        let n_bytes = self.storage.artifacts.n_bytes(kind, &id).await;
        n_bytes.unwrap_or_default()
    }

    /// Collects every hour until `shutdown`.
    pub(crate) async fn collect_until(&self, shutdown: CancellationToken) {
        if self.keep.is_everything() {
            return shutdown.cancelled().await;
        }
        loop {
            let pause = tokio::time::sleep(PAUSE);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
            match self.collect(now_ms()).await {
                Ok(collection) => collection.tell(),
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::warn!(error, "cannot collect garbage");
                }
            }
        }
    }
}

impl Collection {
    /// How much room was taken by all of it.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.found.iter().map(|found| found.n_bytes).sum()
    }

    /// Says in the log what was removed.
    pub(crate) fn tell(&self) {
        for found in &self.found {
            let n_bytes = found.n_bytes;
            tracing::info!(garbage = %found.garbage, n_bytes, "removed: nothing needs it");
        }
        for record in &self.unreadable {
            tracing::warn!(
                record,
                "cannot be read, so whatever it may need stays"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ArtifactId, DatasetId, Event, Job, JobId, TrainSpec};
    use storage::{Created, Kind};

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    async fn collector(folder: &std::path::Path) -> Collector {
        let storage = crate::tests::open_storage(folder).await;
        storage.claim_artifacts().await.unwrap();
        Collector {
            models: Models::new(storage.clone()),
            storage,
            keep: Keep {
                days: 30,
                event_days: 0,
                jobs: 0,
                versions: 0,
            },
        }
    }

    async fn job_on(collector: &Collector, dataset: &ArtifactId) -> Job {
        let id = format!("job-{}", uuid::Uuid::now_v7().simple());
        let dataset = DatasetId::new(dataset.as_str()).unwrap();
        let spec = TrainSpec::new(dataset);
        let job = Job::queued(JobId::new(id.as_str()).unwrap(), spec, now_ms());
        let jobs = &collector.storage.jobs;
        match jobs.create(job, Some(&id)).await.unwrap() {
            Created::New(job) | Created::Before(job) => job,
        }
    }

    async fn end(collector: &Collector, job: &Job) {
        let cancel = |job: &mut Job| {
            job.apply(Event::CancelRequested, now_ms()).unwrap();
            Ok::<_, storage::Error>(Some("cancelled".to_owned()))
        };
        collector
            .storage
            .jobs
            .update(&job.id, cancel)
            .await
            .unwrap();
    }

    async fn dataset(collector: &Collector, content: &str) -> ArtifactId {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dataset.json"), content).unwrap();
        let artifacts = &collector.storage.artifacts;
        artifacts.put(Kind::Dataset, folder.path()).await.unwrap()
    }

    #[tokio::test]
    async fn an_old_job_goes_with_its_events_its_request_and_its_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let collector = collector(folder.path()).await;
        let used = dataset(&collector, "{}").await;
        let old = job_on(&collector, &used).await;
        end(&collector, &old).await;
        let kept = dataset(&collector, "{ }").await;
        let open = job_on(&collector, &kept).await;

        let now = collector.collect(now_ms()).await.unwrap();
        assert!(now.found.is_empty(), "too young");
        let later_ms = now_ms() + 31 * DAY_MS;
        let names = |collection: &Collection| {
            let garbage = collection.found.iter().map(|found| &found.garbage);
            garbage.map(ToString::to_string).collect::<Vec<_>>()
        };
        let expected = [format!("jobs/{}", old.id), format!("datasets/{used}")];
        let shown = collector.look(later_ms).await.unwrap();
        assert_eq!(names(&shown), expected);
        assert!(shown.n_bytes() > 0);
        let jobs = &collector.storage.jobs;
        assert_eq!(jobs.list().await.unwrap().records.len(), 2, "only shown");

        let removed = collector.collect(later_ms).await.unwrap();
        assert_eq!(names(&removed), expected);
        let left = jobs.list().await.unwrap().records;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id, open.id);
        assert!(jobs.events(&old.id, 1).await.is_err(), "no job, no events");
        let datasets = collector.storage.artifacts.list(Kind::Dataset).await;
        assert_eq!(datasets.unwrap(), [kept]);
        let again = Job::queued(JobId::new("again").unwrap(), old.spec, 1);
        let created = jobs.create(again, Some(old.id.as_str())).await.unwrap();
        assert!(matches!(created, Created::New(_)), "its request id is free");
    }
}
