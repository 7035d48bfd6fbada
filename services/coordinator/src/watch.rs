//! Follows a job's events: those that are stored, then live ones until the job
//! ends.

use std::collections::VecDeque;

use domain::JobId;
use futures::Stream;
use storage::JobEvent;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::{LOOK_AGAIN, TrainJobs};

impl TrainJobs {
    /// Streams a job's events from number `from` on, then live until it ends or
    /// `shutdown`.
    pub(crate) fn watch(
        &self,
        id: JobId,
        from: u64,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<JobEvent, Error>> + Send + use<> {
        let changed = self.changed.subscribe();
        let watcher = Watcher {
            jobs: self.clone(),
            id,
            next: from.max(1),
            shown_ms: 0,
            ready: VecDeque::new(),
            changed,
            shutdown,
            is_over: false,
        };

        futures::stream::unfold(watcher, |mut watcher| async {
            let event = watcher.next_event().await.transpose()?;
            Some((event, watcher))
        })
    }
}

/// One client's place in a job's events.
struct Watcher {
    jobs: TrainJobs,
    id: JobId,
    next: u64,
    shown_ms: i64,
    ready: VecDeque<JobEvent>,
    changed: watch::Receiver<()>,
    shutdown: CancellationToken,
    is_over: bool,
}

impl Watcher {
    /// Waits for the next event; `None` at the end.
    async fn next_event(&mut self) -> Result<Option<JobEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = self.next.max(event.number + 1);
                self.shown_ms = event.job.updated_ms;
                return Ok(Some(event));
            }

            if self.is_over || self.shutdown.is_cancelled() {
                return Ok(None);
            }

            self.changed.mark_unchanged();
            let job = self.jobs.get(&self.id).await?;
            if self.next <= job.n_events {
                let stored =
                    self.jobs.storage.jobs.events(&self.id, self.next).await?;
                self.ready.extend(stored.records);
                if self.ready.is_empty() {
                    // What is left cannot be read, or is gone.
                    self.next = job.n_events + 1;
                }
            } else if job.state.is_final() {
                self.is_over = true;
            } else if job.updated_ms > self.shown_ms && job.n_events > 0 {
                let message = "progress".to_owned();
                self.ready.push_back(JobEvent {
                    number: job.n_events,
                    at_ms: job.updated_ms,
                    message,
                    job,
                });
            } else {
                let look_again =
                    tokio::time::timeout(LOOK_AGAIN, self.changed.changed());
                let _woken =
                    self.shutdown.run_until_cancelled(look_again).await;
            }
        }
    }
}
