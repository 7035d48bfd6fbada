//! Training jobs, their requests and their numbered events. Written by the coordinator only.

use domain::{Job, JobId, Label, ModelInfo};
use serde::{Deserialize, Serialize};

use crate::store::{Commit, Entry, Store, decode, encode};
use crate::{Error, registry};

const JOBS: &str = "jobs";
/// Ids of the jobs that have not ended: what leasing and sweeping look at.
const OPEN: &str = "jobs-open";
const REQUESTS: &str = "job-requests";
/// Writers that meet on one job: workers' heartbeats and a cancel.
const N_TRIES: usize = 20;

/// A numbered change of a job, with the job as it was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// From 1, without gaps.
    pub number: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// What happened, for people.
    pub message: String,
    /// The job after it.
    pub job: Job,
}

/// The answer to a create.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// The job is new.
    New(Job),
    /// The same request was made before; this is its job.
    Before(Job),
}

/// The job collection.
#[derive(Debug, Clone)]
pub struct Jobs {
    store: Store,
}

impl Jobs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Stores a new job; with a request id that was seen before, returns the earlier job instead.
    pub async fn create(&self, mut job: Job, request: Option<&str>) -> Result<Created, Error> {
        if let Some(request) = request
            && let Some(id) = self.store.get(REQUESTS, request).await?
        {
            let id = String::from_utf8_lossy(&id).into_owned();
            return self.read(&id).await.map(|(job, _)| Created::Before(job));
        }
        job.n_events = 1;
        let event = JobEvent {
            number: 1,
            at_ms: job.created_ms,
            message: "queued".to_owned(),
            job: job.clone(),
        };
        let mut commit = Commit::default();
        commit.checks.push(Entry::new(JOBS, job.id.as_str(), None));
        commit
            .writes
            .push(Entry::new(JOBS, job.id.as_str(), Some(encode(&job))));
        commit
            .writes
            .push(Entry::new(OPEN, job.id.as_str(), Some(Vec::new())));
        commit.writes.push(event_entry(&event));
        if let Some(request) = request {
            commit.checks.push(Entry::new(REQUESTS, request, None));
            commit
                .writes
                .push(Entry::new(REQUESTS, request, Some(job.id.as_str().into())));
        }
        if self.store.commit(commit).await? {
            return Ok(Created::New(job));
        }
        // Another request with the same id was faster.
        let winner = self
            .store
            .get(REQUESTS, request.unwrap_or_default())
            .await?;
        let winner = winner.ok_or_else(|| Error::Contended(format!("job {}", job.id)))?;
        self.read(&String::from_utf8_lossy(&winner))
            .await
            .map(|(job, _)| Created::Before(job))
    }

    /// One job.
    pub async fn get(&self, id: &JobId) -> Result<Job, Error> {
        self.read(id.as_str()).await.map(|(job, _)| job)
    }

    /// All jobs, by id: oldest first.
    pub async fn list(&self) -> Result<Vec<Job>, Error> {
        let entries = self.store.scan(JOBS).await?;
        entries
            .iter()
            .map(|(id, bytes)| decode(&format!("job {id}"), bytes))
            .collect()
    }

    /// The jobs that have not ended, oldest first.
    pub async fn open(&self) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        for (id, _) in self.store.scan(OPEN).await? {
            match self.read(&id).await {
                Ok((job, _)) => jobs.push(job),
                // One job that cannot be read must not stop the others.
                Err(error @ Error::Corrupt { .. }) => tracing::error!(job = id, %error, "skipped"),
                Err(error) => return Err(error),
            }
        }
        Ok(jobs)
    }

    /// Changes a job; `change` runs again when another writer was faster. With a message, the
    /// change becomes a numbered event in the same commit. A change that fails writes nothing.
    pub async fn update<E: From<Error>>(
        &self,
        id: &JobId,
        change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
    ) -> Result<Job, E> {
        self.update_with(id, change, &[]).await
    }

    /// Changes a job and publishes a model version with its labels, all in one commit.
    pub async fn update_and_publish<E: From<Error>>(
        &self,
        id: &JobId,
        change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
        (info, labels): (&ModelInfo, &[Label]),
    ) -> Result<Job, E> {
        self.update_with(id, change, &registry::publication(info, labels))
            .await
    }

    async fn update_with<E: From<Error>>(
        &self,
        id: &JobId,
        mut change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
        writes: &[Entry],
    ) -> Result<Job, E> {
        for _ in 0..N_TRIES {
            let (mut job, bytes) = self.read(id.as_str()).await?;
            let message = change(&mut job)?;
            let mut commit = Commit {
                checks: Vec::new(),
                writes: writes.to_vec(),
            };
            commit
                .checks
                .push(Entry::new(JOBS, id.as_str(), Some(bytes)));
            if job.state.is_final() {
                commit.writes.push(Entry::new(OPEN, id.as_str(), None));
            }
            if let Some(message) = message {
                job.n_events += 1;
                let event = JobEvent {
                    number: job.n_events,
                    at_ms: job.updated_ms,
                    message,
                    job: job.clone(),
                };
                commit.writes.push(event_entry(&event));
            }
            commit
                .writes
                .push(Entry::new(JOBS, id.as_str(), Some(encode(&job))));
            if self.store.commit(commit).await? {
                return Ok(job);
            }
        }
        Err(Error::Contended(format!("job {id}")).into())
    }

    /// A job's events from number `from` on.
    pub async fn events(&self, id: &JobId, from: u64) -> Result<Vec<JobEvent>, Error> {
        let entries = self.store.scan(&events_of(id)).await?;
        let first = event_key(from);
        let wanted = entries.iter().filter(|(key, _)| *key >= first);
        wanted
            .map(|(key, bytes)| decode(&format!("event {key} of job {id}"), bytes))
            .collect()
    }

    async fn read(&self, id: &str) -> Result<(Job, Vec<u8>), Error> {
        let bytes = self.store.get(JOBS, id).await?;
        let bytes = bytes.ok_or_else(|| Error::NotFound {
            kind: "job",
            name: id.to_owned(),
        })?;
        Ok((decode(&format!("job {id}"), &bytes)?, bytes))
    }
}

fn events_of(id: &JobId) -> String {
    format!("job-events:{id}")
}

/// Keys sort as numbers do.
fn event_key(number: u64) -> String {
    format!("{number:020}")
}

fn event_entry(event: &JobEvent) -> Entry {
    Entry::new(
        &events_of(&event.job.id),
        &event_key(event.number),
        Some(encode(event)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Event, ModelVersion, TrainSpec};
    use std::time::Duration;

    async fn jobs(folder: &tempfile::TempDir) -> (Jobs, crate::Registry) {
        let settings = crate::settings::embedded(folder.path());
        let store = Store::open(&settings).await.unwrap();
        (Jobs::new(store.clone()), crate::Registry::new(store))
    }

    fn queued(id: &str) -> Job {
        Job::queued(
            JobId::new(id).unwrap(),
            TrainSpec::new(DatasetId::new("d").unwrap()),
            1,
        )
    }

    #[tokio::test]
    async fn the_same_request_gives_the_same_job_and_events_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let (jobs, _) = jobs(&folder).await;
        let Created::New(first) = jobs.create(queued("a"), Some("r")).await.unwrap() else {
            panic!("a new job")
        };
        let again = jobs.create(queued("b"), Some("r")).await.unwrap();
        assert_eq!(again, Created::Before(first.clone()));
        let change = |job: &mut Job| {
            Ok::<_, Error>(Some(format!("{:?}", job.apply(Event::CancelRequested, 2))))
        };
        jobs.update(&first.id, change).await.unwrap();
        let events = jobs.events(&first.id, 1).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.number).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(jobs.events(&first.id, 2).await.unwrap().len(), 1);
        assert!(
            jobs.open().await.unwrap().is_empty(),
            "a job that has ended is not looked at again"
        );
        assert_eq!(jobs.list().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_refused_change_publishes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (jobs, registry) = jobs(&folder).await;
        let Created::New(mut job) = jobs.create(queued("a"), None).await.unwrap() else {
            panic!("a new job")
        };
        job.apply(
            Event::Leased {
                worker: "w".to_owned(),
                term: Duration::from_secs(1),
            },
            1,
        )
        .unwrap();
        let version = ModelVersion::new("v").unwrap();
        let info = ModelInfo {
            version: version.clone(),
            catalog: domain::Catalog::default(),
            dataset: job.spec.dataset.clone(),
            job: job.id.clone(),
            spec: job.spec.clone(),
            metrics: std::collections::BTreeMap::new(),
            created_ms: 1,
        };
        let refuse = |_: &mut Job| Err::<Option<String>, _>(Error::Contended("refused".to_owned()));
        let labels = [Label::live()];
        assert!(
            jobs.update_and_publish(&job.id, refuse, (&info, &labels))
                .await
                .is_err()
        );
        assert!(
            registry.list().await.unwrap().is_empty()
                && registry.labels().await.unwrap().is_empty()
        );
        let accept = |_: &mut Job| Ok::<_, Error>(None);
        jobs.update_and_publish(&job.id, accept, (&info, &labels))
            .await
            .unwrap();
        assert_eq!(registry.labels().await.unwrap()[&Label::live()], version);

        let before = registry.revision().await.unwrap();
        registry
            .set_label(&Label::new("canary").unwrap(), &version)
            .await
            .unwrap();
        let late = registry.delete(&version, before).await.unwrap_err();
        assert!(
            matches!(late, Error::Contended(_)),
            "a label moved in between"
        );
    }
}
