//! Jobs that wait for a moment, for another job or for nothing but their
//! deadline. Each is found from what it waits for; nothing here reads those that
//! have longer to wait.

use domain::JobId;

use crate::error::Error;
use crate::jobs::{Jobs, index};
use crate::store::Range;

/// Most jobs whose moment has come that are looked at at once.
const MOST_DUE: usize = 200;
/// Most jobs that follow one job.
const MOST_FOLLOWERS: usize = 10_000;

/// A job and the moment that somebody must act at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// The moment, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The job.
    pub id: JobId,
}

impl Jobs {
    /// Lists the jobs whose start time comes first, the next one first.
    pub async fn starting(&self) -> Result<Vec<Timed>, Error> {
        self.timed(index::STARTS).await
    }

    /// Lists the jobs whose deadline comes first, the next one first.
    pub async fn with_deadline(&self) -> Result<Vec<Timed>, Error> {
        self.timed(index::DEADLINES).await
    }

    async fn timed(&self, index: &str) -> Result<Vec<Timed>, Error> {
        let mut timed = Vec::new();
        for key in self.store.range(index, Range::first(MOST_DUE)).await? {
            timed.extend(index::timed(&key));
        }

        Ok(timed)
    }

    /// Lists the jobs that wait for a job to succeed.
    pub async fn followers(&self, of: &JobId) -> Result<Vec<JobId>, Error> {
        let range = Range {
            after: Some(index::awaited_key(of, "")),
            most: MOST_FOLLOWERS,
            ..Range::default()
        };
        let mut followers = Vec::new();
        for key in self.store.range(index::AWAITED, range).await? {
            match index::awaited(&key) {
                Some((before, follower)) if before == *of => {
                    followers.push(follower);
                }
                Some(_) | None => break,
            }
        }

        Ok(followers)
    }

    /// Lists the jobs that others wait for.
    pub async fn awaited(&self) -> Result<Vec<JobId>, Error> {
        let mut jobs: Vec<JobId> = Vec::new();
        let range = Range::first(MOST_FOLLOWERS);
        for key in self.store.range(index::AWAITED, range).await? {
            let Some((before, _)) = index::awaited(&key) else {
                continue;
            };
            if jobs.last() != Some(&before) {
                jobs.push(before);
            }
        }

        Ok(jobs)
    }
}
