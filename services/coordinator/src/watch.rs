//! Follows a job's events: those that are stored, then live ones until the job
//! ends.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{Job, JobId};
use futures::Stream;
use storage::JobEvent;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::train_job::TrainJobs;

impl TrainJobs {
    /// Streams a job's events from number `from` on, then live until it ends or
    /// `shutdown`.
    pub(crate) fn watch(
        &self,
        id: JobId,
        from: u64,
        shutdown: CancellationToken,
    ) -> impl Stream<Item = Result<JobEvent, Error>> + Send + use<> {
        let news = self.news.follow(&id);
        let watcher = Watcher {
            jobs: self.clone(),
            id,
            next: from.max(1),
            shown: None,
            ready: VecDeque::new(),
            news,
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
    /// The job as the client has seen it.
    shown: Option<Arc<Job>>,
    ready: VecDeque<JobEvent>,
    news: watch::Receiver<Option<Arc<Job>>>,
    shutdown: CancellationToken,
    is_over: bool,
}

impl Watcher {
    /// Waits for the next event; `None` at the end.
    async fn next_event(&mut self) -> Result<Option<JobEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = self.next.max(event.number + 1);
                return Ok(Some(event));
            }

            if self.is_over || self.shutdown.is_cancelled() {
                return Ok(None);
            }

            let job = self.latest().await?;
            if self.next <= job.n_events {
                self.read_events(&job).await?;
                self.shown = Some(job);
            } else if job.state.is_final() {
                self.is_over = true;
            } else if self.is_news(&job) && job.n_events > 0 {
                self.ready.push_back(progress(&job));
                self.shown = Some(job);
            } else {
                self.shutdown.run_until_cancelled(self.news.changed()).await;
            }
        }
    }

    /// The job as it was last seen by anybody here.
    async fn latest(&mut self) -> Result<Arc<Job>, Error> {
        let latest = self.news.borrow_and_update().clone();
        match latest {
            Some(job) => Ok(job),
            None => {
                let job = self.jobs.get(&self.id).await?;
                self.jobs.news.tell(&job);
                Ok(Arc::new(job))
            }
        }
    }

    async fn read_events(&mut self, job: &Job) -> Result<(), Error> {
        let jobs = &self.jobs.storage.jobs;
        let stored = jobs.events_of(job, self.next).await?;
        self.ready.extend(stored.records);
        if self.ready.is_empty() {
            // What is left cannot be read, or is gone.
            self.next = job.n_events + 1;
        }

        Ok(())
    }

    fn is_news(&self, job: &Arc<Job>) -> bool {
        let shown = self.shown.as_ref();
        shown.is_none_or(|shown| !Arc::ptr_eq(shown, job))
    }
}

/// The latest event again, with fresher progress.
fn progress(job: &Job) -> JobEvent {
    JobEvent {
        number: job.n_events,
        at_ms: job.updated_ms,
        message: "progress".to_owned(),
        job: job.clone(),
    }
}
