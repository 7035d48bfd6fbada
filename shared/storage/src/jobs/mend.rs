//! Puts indexes right: an earlier program kept none, and one that runs beside
//! this one, or in between, changes jobs without them.

use std::collections::BTreeSet;

use domain::{Job, JobId, QueueName, State};

use crate::error::Error;
use crate::jobs::{JOBS, Jobs, OPEN, Ready, index};
use crate::record::decode;
use crate::store::{Commit, Place, Range};

impl Jobs {
    /// Compares the indexes with the jobs that there are, and puts right those
    /// that do not fit; returns how many. Reads keys, and the records of those
    /// jobs alone.
    pub async fn mend_indexes(&self) -> Result<usize, Error> {
        let all: BTreeSet<String> = self.index(index::ALL).await?;
        let open: BTreeSet<String> =
            self.store.keys(OPEN).await?.into_iter().collect();
        let indexed = self.indexed_as_open().await?;
        let mut wrong: BTreeSet<String> = BTreeSet::new();
        let jobs: BTreeSet<String> =
            self.store.keys(JOBS).await?.into_iter().collect();
        wrong.extend(all.symmetric_difference(&jobs).cloned());
        wrong.extend(open.symmetric_difference(&indexed).cloned());
        wrong.extend(self.uncounted().await?);
        let mut n_mended = 0;
        for id in wrong {
            if let Ok(id) = JobId::new(id) {
                n_mended += usize::from(self.mend(&id).await?);
            }
        }

        Ok(n_mended)
    }

    /// Ids of the jobs that the indexes know as not ended.
    async fn indexed_as_open(&self) -> Result<BTreeSet<String>, Error> {
        let mut ids = BTreeSet::new();
        for state in [State::Running, State::Cancelling] {
            ids.extend(self.index(&index::in_state(state)).await?);
        }

        let queued = self.index(&index::in_state(State::Queued)).await?;
        let mut waiting = vec![index::PAUSED.to_owned()];
        for lane in self.lanes().await? {
            waiting.push(lane.index());
        }

        for queue in waiting {
            for key in self.index(&queue).await? {
                let id = index::queued_id(&key).map(String::from);
                ids.extend(id.filter(|id| queued.contains(id)));
            }
        }

        for key in self.index(index::STARTS).await? {
            let id = index::timed(&key).map(|timed| timed.id.to_string());
            ids.extend(id.filter(|id| queued.contains(id)));
        }

        for key in self.index(index::AWAITED).await? {
            let id = index::awaited(&key).map(|(_, id)| id.to_string());
            ids.extend(id.filter(|id| queued.contains(id)));
        }

        Ok(ids)
    }

    /// Jobs that a program without queues queued or leased, which no limit of
    /// the default queue counts; and those that it has moved on since.
    async fn uncounted(&self) -> Result<BTreeSet<String>, Error> {
        let queued = self.uncounted_in(&[State::Queued], index::queued_in);
        let mut uncounted = queued.await?;
        let held = &[State::Running, State::Cancelling];
        uncounted.extend(self.uncounted_in(held, index::held_in).await?);
        Ok(uncounted)
    }

    /// Jobs that are in these states and not in their queue's index, or the
    /// other way round.
    async fn uncounted_in(
        &self,
        states: &[State],
        index_of: fn(&QueueName) -> String,
    ) -> Result<BTreeSet<String>, Error> {
        let mut there = BTreeSet::new();
        for state in states {
            there.extend(self.index(&index::in_state(*state)).await?);
        }

        let default = QueueName::default();
        let counted = self.index(&index_of(&default)).await?;
        let mut wrong: BTreeSet<String> =
            counted.difference(&there).cloned().collect();
        there.retain(|id| !counted.contains(id));
        let mut others = BTreeSet::new();
        others.extend(self.lanes().await?.into_iter().map(|lane| lane.queue));
        for queue in others {
            let counted = self.index(&index_of(&queue)).await?;
            there.retain(|id| !counted.contains(id));
        }

        // Few are left: those of a queue without a lane are in no doubt.
        let ids = there.into_iter().filter_map(|id| JobId::new(id).ok());
        let ids: Vec<JobId> = ids.collect();
        for job in self.get_all(&ids).await? {
            if job.schedule.queue == default {
                wrong.insert(job.id.to_string());
            }
        }

        Ok(wrong)
    }

    async fn index(&self, name: &str) -> Result<BTreeSet<String>, Error> {
        let keys = self.store.range(name, Range::first(usize::MAX)).await?;
        Ok(keys.into_iter().collect())
    }

    /// Puts the places of a job right that a worker could not be given, and
    /// takes it off the place in its lane where it was found.
    pub async fn mend_ready(&self, ready: &Ready) -> Result<(), Error> {
        let mut commit = Commit::default();
        commit.left.push(Place {
            index: ready.lane.index(),
            key: ready.place.clone(),
        });
        self.store.commit(commit).await?;
        self.mend(&ready.id).await?;
        Ok(())
    }

    /// Puts a job's places in the indexes right; false where that is not
    /// possible or somebody changes the job right now.
    pub async fn mend(&self, id: &JobId) -> Result<bool, Error> {
        let bytes = self.store.get(JOBS, id.as_str()).await?;
        let what = format!("job {id}");
        let job = bytes.as_deref().map(|bytes| decode::<Job>(&what, bytes));
        let mut commit = Commit::default();
        commit.check(JOBS, id.as_str(), bytes.clone());
        commit.left = index::passing_places(id);
        match &job {
            Some(Ok(job)) => {
                commit.left = index::all_passing_places(job);
                commit.entered = index::places(job);
            }
            // It stays in the list of all, which names it.
            Some(Err(error)) => {
                self.left_out.tell(what, error);
                commit.entered.push(Place {
                    index: index::ALL.to_owned(),
                    key: id.to_string(),
                });
            }
            None => {
                commit.remove(OPEN, id.as_str());
                commit.left.push(Place {
                    index: index::ALL.to_owned(),
                    key: id.to_string(),
                });
            }
        }

        if job.as_ref().is_some_and(|job| {
            job.as_ref().is_ok_and(|job| job.state.is_final())
        }) {
            commit.remove(OPEN, id.as_str());
        }

        let is_right = self.store.commit(commit).await?;
        // One that cannot be read is found again each time.
        Ok(is_right && !matches!(job, Some(Err(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use domain::{DatasetId, Event, Schedule, TrainSpec};
    use std::time::Duration;

    async fn create(jobs: &Jobs, id: &str, queue: &QueueName) -> Job {
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let schedule = Schedule {
            queue: queue.clone(),
            ..Schedule::default()
        };
        let job = Job::queued(JobId::new(id).unwrap(), spec, 1);
        let job = job.scheduled(schedule, Vec::new());
        jobs.create(job.clone(), None).await.unwrap();
        job
    }

    async fn lease(jobs: &Jobs, id: &JobId) {
        let change = |job: &mut Job| {
            let leased = Event::Leased {
                worker: "w".to_owned(),
                term: Duration::from_secs(1),
            };
            job.apply(leased, 2).unwrap();
            Ok::<_, Error>(None)
        };
        jobs.update(id, change).await.unwrap();
    }

    #[tokio::test]
    async fn jobs_of_a_program_without_queues_count_in_limits() {
        let folder = tempfile::tempdir().unwrap();
        let settings = crate::settings::embedded(folder.path());
        let store = Store::open(&settings).await.unwrap();
        let jobs = Jobs::new(store.clone());
        let default = QueueName::default();
        let nightly = QueueName::new("nightly").unwrap();
        let waits = create(&jobs, "waits", &default).await;
        let runs = create(&jobs, "runs", &default).await;
        lease(&jobs, &runs.id).await;
        let other = create(&jobs, "other", &nightly).await;
        lease(&jobs, &other.id).await;
        assert_eq!(jobs.mend_indexes().await.unwrap(), 0);

        // It knew states, and no queues; one job has begun since.
        let place = |index: String, id: &JobId| Place {
            index,
            key: id.to_string(),
        };
        let commit = Commit {
            left: vec![
                place(index::queued_in(&default), &waits.id),
                place(index::held_in(&default), &runs.id),
            ],
            entered: vec![place(index::queued_in(&default), &runs.id)],
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
        assert_eq!(jobs.n_held(&default, 9).await.unwrap(), 0);

        assert_eq!(jobs.mend_indexes().await.unwrap(), 2);
        assert_eq!(jobs.n_held(&default, 9).await.unwrap(), 1);
        let queued = index::queued_in(&default);
        let queued = store.range(&queued, Range::first(9)).await.unwrap();
        assert_eq!(queued, ["waits"]);
        assert_eq!(jobs.n_held(&nightly, 9).await.unwrap(), 1);
        assert_eq!(jobs.mend_indexes().await.unwrap(), 0);
    }
}
