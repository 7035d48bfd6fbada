//! Puts indexes right: an earlier program kept none, and one that runs beside
//! this one, or in between, changes jobs without them.

use std::collections::BTreeSet;

use domain::{Job, JobId, State};

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
