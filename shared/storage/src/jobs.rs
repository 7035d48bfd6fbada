//! Training jobs, their requests and their numbered events. Written by the
//! coordinator only.

/// Removes jobs that have ended.
mod delete;
/// A job's events as they are stored.
mod event;
/// What jobs are found by.
mod index;
/// Queued jobs that any worker may take alike.
mod lane;
/// Pages of jobs.
mod list;
/// Puts indexes right that an earlier program did not keep.
mod mend;
/// Events of ended jobs, compressed.
mod pack;
/// Jobs that wait for a worker, and jobs that have one.
mod queue;
/// Who may add to a queue with a limit.
mod turn;
/// Jobs that wait for a moment or for other jobs.
mod waiting;

use domain::{Job, JobId};

use crate::error::Error;
use crate::record::{LeftOut, Listed, decode, encode, packed};
use crate::registry::Publication;
use crate::store::{Commit, Entry, Store};

pub use event::JobEvent;
pub use lane::Lane;
pub use list::{JobFilter, JobPage, JobQuery};
pub use queue::Ready;
pub use turn::Turn;
pub use waiting::Timed;

const JOBS: &str = "jobs";
/// Ids of the jobs that have not ended.
const OPEN: &str = "jobs-open";
const REQUESTS: &str = "job-requests";
/// Writers that meet on one job: workers' heartbeats and a cancel.
const N_TRIES: usize = 20;
/// The latest this many events of a job are kept.
const MOST_EVENTS: u64 = 1_000;
/// A longer record of a job that has ended is compressed.
const LONGEST_PLAIN: usize = 4_096;
/// So many events are read at once.
const EVENTS_PAGE: u64 = 200;

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

    /// The job that a request made before.
    pub async fn requested(&self, request: &str) -> Result<Option<Job>, Error> {
        let Some(id) = self.store.get(REQUESTS, request).await? else {
            return Ok(None);
        };
        let id = String::from_utf8_lossy(&id).into_owned();
        self.read(&id).await.map(|(job, _)| Some(job))
    }

    /// Stores a new job; with a request id that was seen before, returns the
    /// earlier job instead.
    pub async fn create(
        &self,
        job: Job,
        request: Option<&str>,
    ) -> Result<Created, Error> {
        self.create_in_turn(job, request, None).await
    }

    /// Stores a new job as [`Jobs::create`] does, if nobody took the turn
    /// meanwhile; else the error is [`Error::Contended`].
    pub async fn create_in_turn(
        &self,
        mut job: Job,
        request: Option<&str>,
        turn: Option<&Turn>,
    ) -> Result<Created, Error> {
        if let Some(request) = request
            && let Some(job) = self.requested(request).await?
        {
            return Ok(Created::Before(job));
        }

        job.n_events = 1;
        let id = job.id.as_str();
        let mut commit = Commit::default();
        if let Some(turn) = turn {
            turn.take(&mut commit);
        }

        commit.check(JOBS, id, None);
        commit.set(JOBS, id, encode(&job));
        commit.set(OPEN, id, Vec::new());
        let queued = event::entry(None, &job, "queued".to_owned());
        commit.writes.push(queued);
        commit.entered = index::places(&job);
        if let Some(request) = request {
            commit.check(REQUESTS, request, None);
            commit.set(REQUESTS, request, id.into());
        }

        if self.store.commit(commit).await? {
            return Ok(Created::New(job));
        }

        // Another request with the same id was faster, or another turn.
        let request = request.unwrap_or_default();
        match self.requested(request).await? {
            Some(job) => Ok(Created::Before(job)),
            None => Err(Error::Contended(format!("job {}", job.id))),
        }
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
            let (before, bytes) = self.read(id.as_str()).await?;
            let mut job = before.clone();
            let message = change(&mut job)?;
            let mut commit = Commit {
                writes: writes.to_vec(),
                ..Commit::default()
            };
            commit.check(JOBS, id.as_str(), Some(bytes));
            write(&mut commit, &before, &mut job, message);
            if self.store.commit(commit).await? {
                return Ok(job);
            }
        }

        Err(Error::Contended(format!("job {id}")).into())
    }

    /// Reads a job's events from number `from` on: some of them, so that
    /// whoever wants all goes on after the last; none where there are none.
    pub async fn events(
        &self,
        id: &JobId,
        from: u64,
    ) -> Result<Listed<JobEvent>, Error> {
        let job = self.get(id).await?;
        self.events_of(&job, from).await
    }

    /// Reads the events of a job that was read a moment ago, as
    /// [`Jobs::events`] does.
    pub async fn events_of(
        &self,
        job: &Job,
        from: u64,
    ) -> Result<Listed<JobEvent>, Error> {
        let mut next = from.max(pack::oldest_kept(job.n_events));
        let mut listed = Listed {
            records: Vec::new(),
            unreadable: Vec::new(),
        };
        while next <= job.n_events && listed.records.is_empty() {
            let end = job.n_events.min(next + EVENTS_PAGE - 1);
            let keys: Vec<String> = (next..=end).map(event::key).collect();
            let keys_wanted = keys.len();
            let space = event::space(&job.id);
            let pairs = self.store.get_pairs(&space, keys).await?;
            let kind = format!("event of job {}", job.id);
            let mut page: Listed<event::StoredEvent> =
                self.left_out.read_all(&kind, &pairs);
            listed.unreadable.extend(page.unreadable);
            if pairs.is_empty() {
                page.records = self.packed_events(job, next).await?;
            } else if pairs.len() < keys_wanted {
                // Some were packed before the job was tried again.
                let packed = self.packed_events(job, next).await?;
                page.records.extend(packed);
                page.records.retain(|event| event.number <= end);
                page.records.sort_by_key(|event| event.number);
                page.records.dedup_by_key(|event| event.number);
            }

            for stored in page.records {
                listed.records.push(stored.event(job));
            }

            next = end + 1;
        }

        Ok(listed)
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

/// The record of a job: a job that goes on is read and written often, one that
/// has ended is kept for long.
fn record(job: &Job) -> Vec<u8> {
    let plain = encode(job);
    if job.state.is_final() && plain.len() > LONGEST_PLAIN {
        return packed(&plain);
    }

    plain
}

/// Adds to a commit what a changed job comes to: its record, its places in
/// indexes, and an event where there is a message.
fn write(
    commit: &mut Commit,
    before: &Job,
    job: &mut Job,
    message: Option<String>,
) {
    if let Some(message) = message {
        job.n_events += 1;
        let event = event::entry(Some(before), job, message);
        if let Some(old) = job.n_events.checked_sub(MOST_EVENTS) {
            commit.remove(&event.space, &event::key(old));
        }

        commit.writes.push(event);
    }

    if job.state.is_final() {
        commit.remove(OPEN, job.id.as_str());
    } else if before.state.is_final() {
        commit.set(OPEN, job.id.as_str(), Vec::new());
    }

    commit.set(JOBS, job.id.as_str(), record(job));
    index::moved(commit, &index::places(before), job);
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
            is_final_fit: false,
            dataset_name: String::new(),
            train_seconds: 0.0,
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
