//! Jobs that wait for a worker, and jobs that have one. Nothing here reads
//! more than it gives out.

use domain::{Job, JobId, QueueName, State};

use crate::error::Error;
use crate::jobs::lane::Lane;
use crate::jobs::turn::Turn;
use crate::jobs::{JOBS, Jobs, index, write};
use crate::record::decode;
use crate::store::{Commit, Pair, Range};

/// A job that waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ready {
    /// Its place in its lane: smaller ones come first.
    pub place: String,
    /// The lane that it stands in.
    pub lane: Lane,
    /// The job.
    pub id: JobId,
}

/// Most jobs that pause or run which are looked at at once.
const MOST: usize = 10_000;

impl Jobs {
    /// Lists the first jobs of a lane: a worker may take them now.
    pub async fn ready(
        &self,
        lane: &Lane,
        most: usize,
    ) -> Result<Vec<Ready>, Error> {
        let range = Range::first(most);
        let keys = self.store.range(&lane.index(), range).await?;
        let mut ready = Vec::with_capacity(keys.len());
        for place in keys {
            if let Some(id) = index::queued_id(&place) {
                let lane = lane.clone();
                ready.push(Ready { place, lane, id });
            }
        }

        Ok(ready)
    }

    /// Lists the queued jobs that wait a while after a failed attempt.
    pub async fn paused(&self) -> Result<Vec<JobId>, Error> {
        let range = Range::first(MOST);
        let keys = self.store.range(index::PAUSED, range).await?;
        Ok(keys
            .iter()
            .filter_map(|key| index::queued_id(key))
            .collect())
    }

    /// Counts the jobs of a queue that a worker has, up to `most`.
    pub async fn n_held(
        &self,
        queue: &QueueName,
        most: usize,
    ) -> Result<usize, Error> {
        let range = Range::first(most);
        Ok(self.store.range(&index::held_in(queue), range).await?.len())
    }

    /// Counts the jobs of a queue that wait, up to `most`.
    pub async fn n_queued(
        &self,
        queue: &QueueName,
        most: usize,
    ) -> Result<usize, Error> {
        let range = Range::first(most);
        Ok(self
            .store
            .range(&index::queued_in(queue), range)
            .await?
            .len())
    }

    /// Lists the ids of the jobs that somebody has a lease on.
    pub async fn leased(&self) -> Result<Vec<JobId>, Error> {
        let mut ids = Vec::new();
        for state in [State::Running, State::Cancelling] {
            let range = Range::first(MOST);
            let keys = self.store.range(&index::in_state(state), range).await?;
            ids.extend(keys.into_iter().filter_map(|key| JobId::new(key).ok()));
        }

        Ok(ids)
    }

    /// Reads several jobs; those that are gone or cannot be read are left out.
    pub async fn get_all(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let pairs = self.pairs(ids).await?;
        Ok(self.left_out.read_all("job", &pairs).records)
    }

    /// Changes several jobs in one commit, each with its own `change`, which is
    /// told the job's place in `ids`. Jobs that refuse are left as they are.
    /// `None`, and nothing is changed, when another writer was faster with one
    /// of them, or had one of these turns.
    pub async fn update_all<E>(
        &self,
        ids: &[JobId],
        turns: &[Turn],
        mut change: impl FnMut(usize, &mut Job) -> Result<Option<String>, E>,
    ) -> Result<Option<Vec<Job>>, Error> {
        let mut commit = Commit::default();
        for turn in turns {
            turn.take(&mut commit);
        }

        let mut changed = Vec::new();
        for Pair { key, value } in self.pairs(ids).await? {
            let what = format!("job {key}");
            let Some(nth) = ids.iter().position(|id| id.as_str() == key) else {
                continue;
            };
            let before: Job = match decode(&what, &value) {
                Ok(job) => job,
                Err(error) => {
                    self.left_out.tell(what, &error);
                    continue;
                }
            };
            let mut job = before.clone();
            if let Ok(message) = change(nth, &mut job) {
                commit.check(JOBS, &key, Some(value));
                write(&mut commit, &before, &mut job, message);
                changed.push(job);
            }
        }

        if changed.is_empty() || self.store.commit(commit).await? {
            return Ok(Some(changed));
        }

        Ok(None)
    }

    async fn pairs(&self, ids: &[JobId]) -> Result<Vec<Pair>, Error> {
        let keys = ids.iter().map(JobId::to_string).collect();
        self.store.get_pairs(JOBS, keys).await
    }
}
