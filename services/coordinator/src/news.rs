//! Tells those who follow a job how it is now: one place a job, whoever and
//! how many follow it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Job, JobId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::{LOOK_AGAIN, TrainJobs};

/// A job that somebody follows is looked up after this long without news: its
/// worker may speak to another coordinator.
const QUIET: Duration = Duration::from_secs(1);

/// The jobs that somebody follows, as they were last seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    followed: Arc<Mutex<BTreeMap<JobId, Followed>>>,
}

#[derive(Debug)]
struct Followed {
    latest: watch::Sender<Option<Arc<Job>>>,
    at: Instant,
}

impl News {
    /// Follows a job: what is seen is its latest state, or nothing yet.
    pub(crate) fn follow(
        &self,
        id: &JobId,
    ) -> watch::Receiver<Option<Arc<Job>>> {
        let mut followed = self.followed();
        let of_job = followed.entry(id.clone()).or_insert_with(|| Followed {
            latest: watch::Sender::new(None),
            at: Instant::now(),
        });
        of_job.latest.subscribe()
    }

    /// Tells the followers of a job how it is now. What was read before
    /// something newer is no news.
    pub(crate) fn tell(&self, job: &Job) {
        let mut followed = self.followed();
        let Some(of_job) = followed.get_mut(&job.id) else {
            return;
        };
        of_job.at = Instant::now();
        of_job.latest.send_if_modified(|latest| {
            let is_new = latest.as_ref().is_none_or(|latest| {
                age(latest) <= age(job) && **latest != *job
            });
            if is_new {
                *latest = Some(Arc::new(job.clone()));
            }

            is_new
        });
    }

    /// The jobs that somebody follows and that there was no news of for a
    /// while.
    fn quiet(&self) -> Vec<JobId> {
        let mut followed = self.followed();
        followed.retain(|_, of_job| of_job.latest.receiver_count() > 0);
        let mut quiet = Vec::new();
        for (id, of_job) in followed.iter() {
            if of_job.at.elapsed() >= QUIET {
                quiet.push(id.clone());
            }
        }

        quiet
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<JobId, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grows with every change of a job.
fn age(job: &Job) -> (u64, u64) {
    let n_beats = job.lease.as_ref().map_or(0, |lease| lease.n_beats);
    (job.n_events, n_beats)
}

impl TrainJobs {
    /// Looks up jobs that are followed and that nothing was heard of here,
    /// until `shutdown`.
    pub(crate) async fn look_for_news_until(
        &self,
        shutdown: CancellationToken,
    ) {
        let mut failed_before = false;
        while shutdown
            .run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
            .await
            .is_some()
        {
            let looked = self.look_for_news().await;
            if let (Err(error), false) = (&looked, failed_before) {
                let error = service::chain(error);
                tracing::warn!(error, "cannot look up jobs that are followed");
            }
            failed_before = looked.is_err();
        }
    }

    async fn look_for_news(&self) -> Result<(), Error> {
        let quiet = self.news.quiet();
        for job in self.storage.jobs.get_all(&quiet).await? {
            self.news.tell(&job);
        }

        Ok(())
    }
}
