//! Jobs that wait for a worker, and jobs that have one. Nothing here reads
//! more than it gives out.

use domain::{Job, JobId, State};

use crate::error::Error;
use crate::jobs::{JOBS, Jobs, index, write};
use crate::record::decode;
use crate::store::{Commit, Pair, Range};

/// A job that waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ready {
    /// Its place in the queue: smaller ones come first.
    pub place: String,
    /// The job.
    pub id: JobId,
}

/// Most jobs that pause or run which are looked at at once.
const MOST: usize = 10_000;

impl Jobs {
    /// Lists the first jobs that a worker may take now.
    pub async fn ready(&self, most: usize) -> Result<Vec<Ready>, Error> {
        let range = Range::first(most);
        let keys = self.store.range(index::READY, range).await?;
        Ok(ready(keys))
    }

    /// Lists the queued jobs that wait a while after a failed attempt.
    pub async fn paused(&self) -> Result<Vec<Ready>, Error> {
        let range = Range::first(MOST);
        let keys = self.store.range(index::PAUSED, range).await?;
        Ok(ready(keys))
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
    /// of them.
    pub async fn update_all<E>(
        &self,
        ids: &[JobId],
        mut change: impl FnMut(usize, &mut Job) -> Result<Option<String>, E>,
    ) -> Result<Option<Vec<Job>>, Error> {
        let mut commit = Commit::default();
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

fn ready(keys: Vec<String>) -> Vec<Ready> {
    let mut ready = Vec::with_capacity(keys.len());
    for place in keys {
        if let Some(id) = index::queued_id(&place) {
            ready.push(Ready { place, id });
        }
    }

    ready
}
