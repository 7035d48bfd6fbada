//! Removes jobs that have ended, with everything that is stored of them, or
//! their events alone.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Job, JobId};

use crate::error::Error;
use crate::jobs::pack::PACKED;
use crate::jobs::{JOBS, Jobs, OPEN, REQUESTS, event, index};
use crate::record::decode;
use crate::store::Commit;

impl Jobs {
    /// Removes those of these jobs that have ended and are still as they were
    /// read: with their events, request ids and places in indexes. Returns the
    /// ids of those that were removed. A request that is repeated later makes a
    /// new job.
    pub async fn delete_ended(
        &self,
        jobs: &[Job],
    ) -> Result<Vec<JobId>, Error> {
        let mut deleted = Vec::new();
        if jobs.is_empty() {
            return Ok(deleted);
        }

        let requests = self.requests_of(jobs).await?;
        for job in jobs {
            let requests = requests.get(job.id.as_str());
            let requests = requests.map_or(&[][..], Vec::as_slice);
            if self.delete(job, requests).await? {
                deleted.push(job.id.clone());
            }
        }

        Ok(deleted)
    }

    /// The request ids that made these jobs.
    async fn requests_of(
        &self,
        jobs: &[Job],
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let ids: BTreeSet<&str> =
            jobs.iter().map(|job| job.id.as_str()).collect();
        let mut requests: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.store.scan(REQUESTS).await? {
            let job = String::from_utf8_lossy(&request.value).into_owned();
            if ids.contains(job.as_str()) {
                requests.entry(job).or_default().push(request.key);
            }
        }

        Ok(requests)
    }

    /// Removes one job in one commit; false where it goes on, is gone, or was
    /// changed since it was read: somebody tried it again.
    async fn delete(
        &self,
        job: &Job,
        requests: &[String],
    ) -> Result<bool, Error> {
        let id = job.id.as_str();
        let Some(bytes) = self.store.get(JOBS, id).await? else {
            return Ok(false);
        };
        // One that was damaged meanwhile is nobody's to remove.
        let now = decode::<Job>(&format!("job {id}"), &bytes);
        let Some(now) = now.ok().filter(|now| now == job) else {
            return Ok(false);
        };
        if !now.state.is_final() {
            return Ok(false);
        }

        let mut commit = Commit::default();
        commit.check(JOBS, id, Some(bytes));
        commit.remove(JOBS, id);
        commit.remove(OPEN, id);
        commit.remove(PACKED, id);
        commit.left = index::all_passing_places(&now);
        commit.left.extend(index::places(&now));
        commit.left.retain(|place| place.index != index::LANES);
        let events = event::space(&now.id);
        for key in self.store.keys(&events).await? {
            commit.remove(&events, &key);
        }

        for request in requests {
            commit.remove(REQUESTS, request);
        }

        self.store.commit(commit).await
    }

    /// Lists the ids of the jobs whose events were packed.
    pub async fn with_packed_events(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.store.keys(PACKED).await?.into_iter().collect())
    }

    /// Removes the packed events of a job but for the latest, which says how it
    /// ended; false where the job goes on or was changed since it was read.
    pub async fn drop_events(&self, job: &Job) -> Result<bool, Error> {
        let id = job.id.as_str();
        let Some(bytes) = self.store.get(JOBS, id).await? else {
            return Ok(false);
        };
        // One that was damaged meanwhile is nobody's to remove.
        let now = decode::<Job>(&format!("job {id}"), &bytes);
        let Some(now) = now.ok().filter(|now| now == job) else {
            return Ok(false);
        };
        if !now.state.is_final() {
            return Ok(false);
        }

        let mut commit = Commit::default();
        commit.check(JOBS, id, Some(bytes));
        commit.check(PACKED, id, self.store.get(PACKED, id).await?);
        commit.remove(PACKED, id);
        for event in self.packed_events(job, job.n_events).await? {
            commit.writes.push(event::stored(&job.id, &event));
        }

        self.store.commit(commit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Created;
    use crate::store::Store;
    use domain::{DatasetId, Event, Label, TrainSpec};

    async fn create(jobs: &Jobs, id: &str) -> Job {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        spec.labels = vec![Label::live()];
        let job = Job::queued(JobId::new(id).unwrap(), spec, 1);
        match jobs.create(job, Some(id)).await.unwrap() {
            Created::New(job) => job,
            Created::Before(job) => panic!("{} was there before", job.id),
        }
    }

    async fn happens(jobs: &Jobs, id: &JobId, event: Event) -> Job {
        let change = |job: &mut Job| {
            job.apply(event.clone(), 2).unwrap();
            Ok::<_, Error>(Some("it changed".to_owned()))
        };
        jobs.update(id, change).await.unwrap()
    }

    #[tokio::test]
    async fn the_latest_event_stays_when_the_others_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::settings::embedded(folder.path());
        let store = Store::open(&settings).await.unwrap();
        let jobs = Jobs::new(store.clone());
        let job = create(&jobs, "j").await;
        let mut job = happens(&jobs, &job.id, Event::CancelRequested).await;
        for _ in 0..4 {
            happens(&jobs, &job.id, Event::RetryRequested).await;
            job = happens(&jobs, &job.id, Event::CancelRequested).await;
        }
        jobs.pack_events(&job).await.unwrap();
        let before = jobs.events(&job.id, 1).await.unwrap().records;
        assert_eq!(before.len(), 10);

        assert!(jobs.drop_events(&job).await.unwrap());
        assert!(jobs.with_packed_events().await.unwrap().is_empty());
        let after = jobs.events(&job.id, 1).await.unwrap().records;
        assert_eq!(after, before[9..]);

        // It goes on counting.
        happens(&jobs, &job.id, Event::RetryRequested).await;
        let again = happens(&jobs, &job.id, Event::CancelRequested).await;
        assert!(!jobs.drop_events(&job).await.unwrap(), "it has changed");
        jobs.pack_events(&again).await.unwrap();
        let events = jobs.events(&job.id, 1).await.unwrap().records;
        let numbers: Vec<u64> =
            events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [10, 11, 12]);
    }

    async fn nothing_is_left_of_a_job(store: Store) {
        let jobs = Jobs::new(store.clone());
        let gone = create(&jobs, "gone").await;
        create(&jobs, "open").await;
        let mut gone = happens(&jobs, &gone.id, Event::CancelRequested).await;
        for _ in 0..4 {
            happens(&jobs, &gone.id, Event::RetryRequested).await;
            gone = happens(&jobs, &gone.id, Event::CancelRequested).await;
        }
        jobs.pack_events(&gone).await.unwrap();
        assert!(store.get(PACKED, "gone").await.unwrap().is_some());
        happens(&jobs, &gone.id, Event::RetryRequested).await;
        let again = happens(&jobs, &gone.id, Event::CancelRequested).await;

        let stale = jobs.delete_ended(&[gone]).await.unwrap();
        assert!(stale.is_empty(), "it was tried again meanwhile");
        let open = jobs.get(&JobId::new("open").unwrap()).await.unwrap();
        let deleted = jobs.delete_ended(&[again.clone(), open]).await.unwrap();
        assert_eq!(deleted, std::slice::from_ref(&again.id));

        assert!(jobs.get(&again.id).await.is_err());
        assert!(store.get(PACKED, "gone").await.unwrap().is_none());
        let events = event::space(&again.id);
        assert!(store.keys(&events).await.unwrap().is_empty());
        assert_eq!(store.keys(REQUESTS).await.unwrap(), ["open"]);
        for place in index::places(&again) {
            let all = crate::store::Range::first(usize::MAX);
            let keys = store.range(&place.index, all).await.unwrap();
            assert!(!keys.contains(&place.key), "{place:?}");
        }
        assert_eq!(jobs.list().await.unwrap().records.len(), 1);
        assert_eq!(jobs.mend_indexes().await.unwrap(), 0);
        create(&jobs, "gone").await;
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_removed_job_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::settings::embedded(folder.path());
        nothing_is_left_of_a_job(Store::open(&settings).await.unwrap()).await;
    }
}
