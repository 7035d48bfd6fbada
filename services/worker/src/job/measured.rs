//! What a worker measures: how far the job at hand is.

use std::sync::{Arc, Mutex, PoisonError};

use domain::Progress;
use service::{Measure, Measurement};
use tokio::sync::watch;

/// The progress of the job at hand; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct AtHand {
    progress: Arc<Mutex<Option<watch::Receiver<Progress>>>>,
}

impl AtHand {
    /// Notes whose progress is measured; none where no job is at hand.
    pub(super) fn set(&self, progress: Option<watch::Receiver<Progress>>) {
        let mut at_hand =
            self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *at_hand = progress;
    }

    fn latest(&self) -> Option<Progress> {
        let at_hand =
            self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        at_hand.as_ref().map(|progress| progress.borrow().clone())
    }
}

impl Measure for AtHand {
    fn measurements(&self) -> Vec<Measurement> {
        let at_hand = self.latest();
        let is_busy = at_hand.is_some();
        let progress = at_hand.unwrap_or_default();
        vec![
            Measurement::gauge(
                "cllm4rec_worker_busy",
                "1 while a job is at hand",
                f64::from(u8::from(is_busy)),
            ),
            Measurement::gauge(
                "cllm4rec_worker_job_done",
                "Share of the job at hand that is done",
                progress.done,
            ),
            Measurement::gauge(
                "cllm4rec_worker_loss",
                "Cross-entropy of the latest step, in nats",
                progress.loss,
            ),
            Measurement::gauge(
                "cllm4rec_worker_tokens_per_second",
                "Real tokens a second in the epoch at hand",
                progress.tokens_per_second,
            ),
            Measurement::gauge(
                "cllm4rec_worker_tokens_at_once",
                "Most tokens that go through the backbone at once; 0 when unknown",
                progress.tokens_at_once as f64,
            ),
        ]
    }
}
