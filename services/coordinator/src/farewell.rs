//! Going away: workers first, the coordinator last.
//!
//! A worker that gets its SIGTERM together with the coordinator gives its job
//! back, which costs the job no attempt, if somebody hears it.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::train_job::TrainJobs;

/// Calls of workers that are under way when nobody holds a lease any more, or
/// the grace period is over, get this long to end.
pub(crate) const CALLS_END: Duration = Duration::from_secs(2);
/// How often to look whether the last lease was given back.
const LOOK: Duration = Duration::from_millis(50);

impl TrainJobs {
    /// Waits for the shutdown, and then until no worker that speaks to this
    /// coordinator holds a lease, but for `grace` at most; says so by `gone`.
    pub(crate) async fn workers_leave(
        &self,
        grace: Duration,
        shutdown: &CancellationToken,
        gone: &CancellationToken,
    ) {
        shutdown.cancelled().await;
        self.leases_end(grace).await;
        gone.cancel();
    }

    async fn leases_end(&self, grace: Duration) {
        let until = Instant::now() + grace;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.leases.n_ours() > 0 {
            if Instant::now() >= until {
                let n_leases = self.leases.n_ours();
                tracing::warn!(
                    n_leases,
                    ?grace,
                    "workers go on; they will find this coordinator away"
                );
                return;
            }

            looks.tick().await;
        }
    }
}
