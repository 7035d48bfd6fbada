//! Looks around now and then: ends the leases of workers that are lost, and puts
//! indexes right.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::{LOOK_AGAIN, TrainJobs};

/// How often indexes are compared with the jobs.
const MEND: Duration = Duration::from_secs(60);

impl TrainJobs {
    /// Ends leases that nobody renewed, until `shutdown`. Times are added up
    /// from look to look: a coordinator or a store that was away for a while
    /// takes no lease away.
    pub(crate) async fn sweep_until(&self, shutdown: CancellationToken) {
        let mut latest = Instant::now();
        while shutdown
            .run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
            .await
            .is_some()
        {
            let started = Instant::now();
            let passed = started.duration_since(latest).min(2 * LOOK_AGAIN);
            latest = started;
            let swept = self.sweep(passed).await;
            if swept.is_err() || started.elapsed() > self.lease_term / 2 {
                self.leases.start_over();
                latest = Instant::now();
            }

            if let Err(error) = swept {
                tracing::warn!(
                    error = service::chain(&error),
                    "cannot look for ended leases"
                );
            }
        }
    }

    async fn sweep(&self, passed: Duration) -> Result<(), Error> {
        let started = Instant::now();
        self.note_pauses().await?;
        self.act_on_moments().await?;
        let jobs = &self.storage.jobs;
        let leased = jobs.leased().await?;
        let quiet = self.lease_term / 2;
        let unheard = self.leases.grow_older(&leased, passed, quiet);
        let unheard = jobs.get_all(&unheard).await?;
        for job in unheard.iter().filter(|job| job.lease.is_none()) {
            // A coordinator of an earlier version ended its lease, and knows
            // no indexes.
            jobs.mend(&job.id).await?;
            self.queue.wake();
        }
        for (id, event) in self.leases.ended(&unheard, self.lease_term) {
            if started.elapsed() > self.lease_term / 2 {
                return Ok(()); // the store was slow: what waits to renew a lease has not been heard
            }

            match self.apply(&id, &event).await {
                Ok(job) => {
                    tracing::warn!(job = %job.id, state = ?job.state, "a worker was lost")
                }
                Err(Error::Refused(_)) => {} // a heartbeat came in between
                Err(error) => return Err(error),
            }
        }

        Ok(())
    }

    /// Puts right, now and then until `shutdown`, what a coordinator of an
    /// earlier version changes in the same store, and what one that was killed
    /// has not come to.
    pub(crate) async fn mend_until(&self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.make_up_for_others().await {
                let error = service::chain(&error);
                tracing::warn!(
                    error,
                    "cannot look at jobs that wait for others"
                );
            }

            let pause = tokio::time::sleep(MEND);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }

            match self.storage.jobs.mend_indexes().await {
                Ok(0) => {}
                Ok(n_mended) => {
                    tracing::warn!(n_mended, "jobs were in no index");
                    self.queue.wake();
                }
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::warn!(error, "cannot compare indexes with jobs");
                }
            }
        }
    }

    async fn make_up_for_others(&self) -> Result<(), Error> {
        self.tell_all_followers().await?;
        self.storage.jobs.drop_empty_lanes().await?;
        Ok(())
    }
}
