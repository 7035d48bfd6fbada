//! Ends the leases of workers that are lost.

use domain::Event;
use storage::now_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::{LOOK_AGAIN, TrainJobs};

impl TrainJobs {
    /// Ends leases that nobody renewed, until `shutdown`. While this
    /// coordinator or the store was away nobody could renew one: after that,
    /// workers have a whole term to speak up.
    pub(crate) async fn sweep_until(&self, shutdown: CancellationToken) {
        let mut not_before = Instant::now() + self.lease_term;
        while shutdown
            .run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
            .await
            .is_some()
        {
            let started = Instant::now();
            if started < not_before {
                continue;
            }

            let swept = self.sweep(started).await;
            if swept.is_err() || started.elapsed() > self.lease_term / 2 {
                not_before = Instant::now() + self.lease_term;
            }

            if let Err(error) = swept {
                tracing::warn!(
                    error = service::chain(&error),
                    "cannot look for ended leases"
                );
            }
        }
    }

    async fn sweep(&self, started: Instant) -> Result<(), Error> {
        for job in self.storage.jobs.open().await? {
            if started.elapsed() > self.lease_term / 2 {
                return Ok(()); // the store was slow: what waits to renew a lease has not been heard
            }

            if !job.lease_has_ended(now_ms()) {
                continue;
            }

            match self.apply(&job.id, &Event::LeaseEnded).await {
                Ok(job) => {
                    tracing::warn!(job = %job.id, state = ?job.state, "a worker was lost")
                }
                Err(Error::Refused(_)) => {} // a heartbeat came in between
                Err(error) => return Err(error),
            }
        }

        Ok(())
    }
}
