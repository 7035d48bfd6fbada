//! How an attempt uses the time that its process has to leave in: most of it
//! for the epoch at hand and its checkpoint, the rest to give the job back.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use domain::EndOfAttempt;
use tokio_util::sync::CancellationToken;

use crate::contract::leave::Leave;
use crate::settings::Settings;

/// Share of the grace period in which an epoch must end to be saved.
const FOR_THE_EPOCH: f64 = 0.6;
/// Share of it after which the job is given back as it is.
const FOR_ALL_WORK: f64 = 0.8;
/// Giving a job back gets this long at least.
const AT_LEAST: Duration = Duration::from_secs(1);

/// The grace period of an attempt.
pub(super) struct Grace {
    whole: Duration,
    /// When it began: the process was told to leave.
    since: OnceLock<Instant>,
}

impl Grace {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            whole: Duration::from_secs(settings.grace_s),
            since: OnceLock::new(),
        }
    }

    /// Waits for the shutdown, asks the training to save what it has, and
    /// returns when there is no time left for that.
    pub(super) async fn is_used_up(
        &self,
        shutdown: &CancellationToken,
        leave: &Leave,
    ) {
        shutdown.cancelled().await;
        let since = *self.since.get_or_init(Instant::now);
        leave.ask(since + self.whole.mul_f64(FOR_THE_EPOCH));
        tokio::time::sleep(self.whole.mul_f64(FOR_ALL_WORK)).await;
    }

    /// Why the attempt ended: a process that is to leave stops its training,
    /// which is no failure.
    pub(super) fn reason(
        &self,
        reason: EndOfAttempt,
        shutdown: &CancellationToken,
    ) -> EndOfAttempt {
        match reason {
            EndOfAttempt::Failed(_) if shutdown.is_cancelled() => {
                EndOfAttempt::Released
            }
            EndOfAttempt::Failed(_)
            | EndOfAttempt::Cancelled
            | EndOfAttempt::Released => reason,
        }
    }

    /// How long the coordinator may take to hear how the attempt ended.
    pub(super) fn to_tell(&self, shutdown: &CancellationToken) -> Duration {
        if !shutdown.is_cancelled() {
            return self.whole;
        }

        let since = *self.since.get_or_init(Instant::now);
        self.whole.saturating_sub(since.elapsed()).max(AT_LEAST)
    }
}
