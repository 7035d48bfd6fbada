//! Training jobs, their requests and their numbered events. Written by the
//! coordinator only.

use domain::{Job, JobId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::record::{LeftOut, Listed, decode, encode};
use crate::registry::Publication;
use crate::store::{Commit, Entry, Store};

const JOBS: &str = "jobs";
/// Ids of the jobs that have not ended: what leasing and sweeping look at.
const OPEN: &str = "jobs-open";
const REQUESTS: &str = "job-requests";
/// Writers that meet on one job: workers' heartbeats and a cancel.
const N_TRIES: usize = 20;

/// A numbered change of a job, with the job as it was then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Counts the job's events, from 1 and without gaps.
    pub number: u64,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// What happened, for people.
    pub message: String,
    /// The job as it was after the event.
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

/// Keeps training jobs and their events.
#[derive(Debug, Clone)]
pub struct Jobs {
    store: Store,
    left_out: LeftOut,
}

impl Jobs {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            left_out: LeftOut::default(),
        }
    }

    /// Stores a new job; with a request id that was seen before, returns the
    /// earlier job instead.
    pub async fn create(
        &self,
        mut job: Job,
        request: Option<&str>,
    ) -> Result<Created, Error> {
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

        let id = job.id.as_str();
        let mut commit = Commit::default();
        commit.check(JOBS, id, None);
        commit.set(JOBS, id, encode(&job));
        commit.set(OPEN, id, Vec::new());
        commit.writes.push(event_entry(&event));
        if let Some(request) = request {
            commit.check(REQUESTS, request, None);
            commit.set(REQUESTS, request, id.into());
        }

        if self.store.commit(commit).await? {
            return Ok(Created::New(job));
        }

        // Another request with the same id was faster.
        let request = request.unwrap_or_default();
        let Some(winner) = self.store.get(REQUESTS, request).await? else {
            return Err(Error::Contended(format!("job {}", job.id)));
        };

        let winner = String::from_utf8_lossy(&winner).into_owned();
        self.read(&winner)
            .await
            .map(|(job, _)| Created::Before(job))
    }

    /// Reads one job by its id.
    pub async fn get(&self, id: &JobId) -> Result<Job, Error> {
        self.read(id.as_str()).await.map(|(job, _)| job)
    }

    /// Lists all jobs, by id: oldest first.
    pub async fn list(&self) -> Result<Listed<Job>, Error> {
        let entries = self.store.scan(JOBS).await?;
        Ok(self.left_out.read_all("job", &entries))
    }

    /// Lists the jobs that have not ended, oldest first.
    pub async fn open(&self) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        for open in self.store.scan(OPEN).await? {
            match self.read(&open.key).await {
                Ok((job, _)) => jobs.push(job),
                // One job that cannot be read must not stop the others.
                Err(
                    error @ (Error::Corrupt { .. } | Error::NotFound { .. }),
                ) => {
                    self.left_out.tell(format!("job {}", open.key), &error);
                }
                Err(error) => return Err(error),
            }
        }

        Ok(jobs)
    }

    /// Changes a job; `change` runs again when another writer was faster. With
    /// a message, the change becomes a numbered event in the same commit. A
    /// change that fails writes nothing.
    pub async fn update<E: From<Error>>(
        &self,
        id: &JobId,
        change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
    ) -> Result<Job, E> {
        self.update_with(id, change, &[]).await
    }

    /// Changes a job and publishes a model version with its labels, all in one
    /// commit.
    pub async fn update_and_publish<E: From<Error>>(
        &self,
        id: &JobId,
        change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
        publication: Publication<'_>,
    ) -> Result<Job, E> {
        self.update_with(id, change, &publication.writes()).await
    }

    async fn update_with<E: From<Error>>(
        &self,
        id: &JobId,
        mut change: impl FnMut(&mut Job) -> Result<Option<String>, E>,
        writes: &[Entry],
    ) -> Result<Job, E> {
        for _ in 0..N_TRIES {
            let (mut job, bytes) = self.read(id.as_str()).await?;
            let was_final = job.state.is_final();
            let message = change(&mut job)?;
            let mut commit = Commit {
                checks: Vec::new(),
                writes: writes.to_vec(),
            };
            commit.check(JOBS, id.as_str(), Some(bytes));
            if job.state.is_final() {
                commit.remove(OPEN, id.as_str());
            } else if was_final {
                commit.set(OPEN, id.as_str(), Vec::new());
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

            commit.set(JOBS, id.as_str(), encode(&job));
            if self.store.commit(commit).await? {
                return Ok(job);
            }
        }

        Err(Error::Contended(format!("job {id}")).into())
    }

    /// Lists a job's events from number `from` on.
    pub async fn events(
        &self,
        id: &JobId,
        from: u64,
    ) -> Result<Listed<JobEvent>, Error> {
        let mut entries = self.store.scan(&events_of(id)).await?;
        let first = event_key(from);
        entries.retain(|entry| entry.key >= first);
        Ok(self
            .left_out
            .read_all(&format!("event of job {id}"), &entries))
    }

    async fn read(&self, id: &str) -> Result<(Job, Vec<u8>), Error> {
        let Some(bytes) = self.store.get(JOBS, id).await? else {
            return Err(Error::NotFound {
                kind: "job",
                name: id.to_owned(),
            });
        };

        Ok((decode(&format!("job {id}"), &bytes)?, bytes))
    }
}

fn events_of(id: &JobId) -> String {
    format!("job-events:{id}")
}

/// Makes the key of an event; keys sort as numbers do.
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
    use domain::{DatasetId, Event, Label, ModelInfo, ModelVersion, TrainSpec};
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
        let Created::New(first) =
            jobs.create(queued("a"), Some("r")).await.unwrap()
        else {
            panic!("a new job")
        };
        let again = jobs.create(queued("b"), Some("r")).await.unwrap();
        assert_eq!(again, Created::Before(first.clone()));
        let change = |job: &mut Job| {
            Ok::<_, Error>(Some(format!(
                "{:?}",
                job.apply(Event::CancelRequested, 2)
            )))
        };
        jobs.update(&first.id, change).await.unwrap();
        let events = jobs.events(&first.id, 1).await.unwrap().records;
        assert_eq!(
            events.iter().map(|event| event.number).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(jobs.events(&first.id, 2).await.unwrap().records.len(), 1);
        assert!(
            jobs.open().await.unwrap().is_empty(),
            "a job that has ended is not looked at again"
        );
        assert_eq!(jobs.list().await.unwrap().records.len(), 1);
    }

    fn info(job: &Job) -> ModelInfo {
        ModelInfo {
            version: ModelVersion::new("v").unwrap(),
            catalog: domain::Catalog::default(),
            dataset: job.spec.dataset.clone(),
            job: job.id.clone(),
            spec: job.spec.clone(),
            metrics: std::collections::BTreeMap::new(),
            created_ms: 1,
        }
    }

    #[tokio::test]
    async fn a_refused_change_publishes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (jobs, registry) = jobs(&folder).await;
        let Created::New(mut job) =
            jobs.create(queued("a"), None).await.unwrap()
        else {
            panic!("a new job")
        };
        let leased = Event::Leased {
            worker: "w".to_owned(),
            term: Duration::from_secs(1),
        };
        job.apply(leased, 1).unwrap();
        let publication = Publication {
            info: &info(&job),
            labels: &[Label::live()],
        };
        let refuse = |_: &mut Job| {
            Err::<Option<String>, _>(Error::Contended("refused".to_owned()))
        };
        let refused =
            jobs.update_and_publish(&job.id, refuse, publication).await;
        assert!(refused.is_err());
        assert!(registry.list().await.unwrap().records.is_empty());
        assert!(registry.labels().await.unwrap().versions.is_empty());
        let accept = |_: &mut Job| Ok::<_, Error>(None);
        let accepted =
            jobs.update_and_publish(&job.id, accept, publication).await;
        accepted.unwrap();
        let labels = registry.labels().await.unwrap().versions;
        assert_eq!(labels[&Label::live()].as_str(), "v");
    }

    #[tokio::test]
    async fn a_version_is_not_deleted_while_labels_change() {
        let folder = tempfile::tempdir().unwrap();
        let (jobs, registry) = jobs(&folder).await;
        jobs.create(queued("a"), None).await.unwrap();
        let job = queued("a");
        let info = info(&job);
        let publication = Publication {
            info: &info,
            labels: &[],
        };
        let accept = |_: &mut Job| Ok::<_, Error>(None);
        let accepted =
            jobs.update_and_publish(&job.id, accept, publication).await;
        accepted.unwrap();

        let version = &info.version;
        let before = registry.revision().await.unwrap();
        registry.set_label(&Label::canary(), version).await.unwrap();
        let late = registry.delete(version, before).await.unwrap_err();
        assert!(matches!(late, Error::Contended(_)), "a label moved");

        let before = registry.revision().await.unwrap();
        registry.remove_label(&Label::canary()).await.unwrap();
        let late = registry.delete(version, before).await.unwrap_err();
        assert!(matches!(late, Error::Contended(_)), "a label was removed");

        let before = registry.revision().await.unwrap();
        registry.delete(version, before).await.unwrap();
        assert!(registry.list().await.unwrap().records.is_empty());
    }
}
