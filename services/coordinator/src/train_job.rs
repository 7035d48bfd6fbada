//! ★ The first half of `TrainJob`: a checked specification is stored `Queued`; a worker leases it;
//! heartbeats carry progress out and cancel back; a commit with the current lease epoch ends it
//! with a published model version.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use domain::{
    Cause, Event, Job, JobId, ModelInfo, ModelManifest, ModelVersion, Progress, TrainSpec,
};
use futures::Stream;
use proto::EndOfAttempt;
use storage::{Created, JobEvent, Kind, Storage, now_ms};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::machines::Machines;
use crate::{Error, costs};

/// Waiters look again after this long even when nothing woke them: pauses end, and other
/// coordinators write too.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// All training jobs.
#[derive(Debug, Clone)]
pub(crate) struct TrainJobs {
    storage: Storage,
    lease_term: Duration,
    /// How fast the workers are that ask for work here.
    pub(crate) machines: Machines,
    /// Wakes whoever waits for a job to change.
    changed: watch::Sender<()>,
}

/// A job and the lease on it, as a worker gets them.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) job: Job,
    pub(crate) term: Duration,
}

impl TrainJobs {
    pub(crate) fn new(storage: Storage, lease_term: Duration) -> Self {
        Self {
            storage,
            lease_term,
            machines: Machines::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Queues a job for a specification that `proto` has checked; the same request id gives the
    /// same job.
    pub(crate) async fn submit(
        &self,
        spec: TrainSpec,
        request: Option<&str>,
    ) -> Result<Job, Error> {
        self.check(&spec).await?;
        let id = JobId::new(format!("job-{}", uuid::Uuid::now_v7().simple()))?;
        let created = self
            .storage
            .jobs
            .create(Job::queued(id, spec, now_ms()), request)
            .await?;
        self.changed.send_replace(());
        Ok(match created {
            Created::New(job) => {
                tracing::info!(job = %job.id, dataset = %job.spec.dataset, "job queued");
                job
            }
            Created::Before(job) => job,
        })
    }

    /// What can be known before a worker has the job: the data set exists.
    async fn check(&self, spec: &TrainSpec) -> Result<(), Error> {
        self.storage
            .artifacts
            .folder(Kind::Dataset, spec.dataset.as_str())
            .await?;
        Ok(())
    }

    /// Checks a specification without queueing it, and says what its parts will cost.
    pub(crate) async fn costs(&self, spec: &TrainSpec) -> Result<Vec<String>, Error> {
        self.check(spec).await?;
        let manifest = self
            .storage
            .artifacts
            .read(Kind::Dataset, spec.dataset.as_str(), "dataset.json")
            .await?;
        let counts = serde_json::from_slice(&manifest)
            .map_err(|e| Error::BadDataset(format!("dataset.json: {e}")))?;
        Ok(costs::notes(spec, &counts, &self.machines.all()))
    }

    pub(crate) async fn get(&self, id: &JobId) -> Result<Job, Error> {
        Ok(self.storage.jobs.get(id).await?)
    }

    /// Oldest first.
    pub(crate) async fn list(&self) -> Result<Vec<Job>, Error> {
        Ok(self.storage.jobs.list().await?)
    }

    pub(crate) async fn cancel(&self, id: &JobId) -> Result<Job, Error> {
        self.apply(id, &Event::CancelRequested).await
    }

    /// Gives the oldest due job to a worker; waits up to `wait` for one, or until `shutdown`.
    pub(crate) async fn lease(
        &self,
        worker: &str,
        wait: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Option<Leased>, Error> {
        let until = Instant::now() + wait;
        let mut changed = self.changed.subscribe();
        loop {
            let due = self
                .storage
                .jobs
                .open()
                .await?
                .into_iter()
                .find(|job| job.is_due(now_ms()));
            if let Some(job) = due {
                let event = Event::Leased {
                    worker: worker.to_owned(),
                    term: self.lease_term,
                };
                match self.apply(&job.id, &event).await {
                    Ok(job) => {
                        return Ok(Some(Leased {
                            job,
                            term: self.lease_term,
                        }));
                    }
                    Err(Error::Refused(_)) => continue, // another worker was faster
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() >= until || shutdown.is_cancelled() {
                return Ok(None);
            }
            // Woken or not, the next look decides.
            let woken = timeout_at(until.min(Instant::now() + LOOK_AGAIN), changed.changed());
            let _woken = shutdown.run_until_cancelled(woken).await;
        }
    }

    /// Renews a lease; true when the worker is to stop.
    pub(crate) async fn heartbeat(
        &self,
        id: &JobId,
        epoch: u64,
        progress: Progress,
    ) -> Result<bool, Error> {
        let event = Event::Heartbeat {
            epoch,
            progress,
            term: self.lease_term,
        };
        let job = self.apply(id, &event).await?;
        Ok(job.state == domain::State::Cancelling)
    }

    /// Makes a stored checkpoint the one that the next attempt starts from; the one before is
    /// deleted.
    pub(crate) async fn commit_checkpoint(
        &self,
        id: &JobId,
        epoch: u64,
        checkpoint: &str,
    ) -> Result<(), Error> {
        self.storage
            .artifacts
            .folder(Kind::Checkpoint, checkpoint)
            .await?;
        let before = self.get(id).await?.checkpoint;
        self.apply(
            id,
            &Event::Checkpointed {
                epoch,
                location: checkpoint.to_owned(),
            },
        )
        .await?;
        self.forget_checkpoint(before.filter(|before| before != checkpoint))
            .await;
        Ok(())
    }

    /// Verifies a stored model, publishes it and ends the job, in one commit.
    pub(crate) async fn commit_model(
        &self,
        id: &JobId,
        epoch: u64,
        model: &str,
        metrics: BTreeMap<String, f64>,
    ) -> Result<ModelVersion, Error> {
        let job = self.get(id).await?;
        let version = ModelVersion::new(model)?;
        let info = self.verify(&job, &version).await?;
        let event = Event::Committed {
            epoch,
            version: version.clone(),
            metrics,
        };
        let labels = job.spec.labels.clone();
        let change = |job: &mut Job| step(job, &event);
        let job = self
            .storage
            .jobs
            .update_and_publish(id, change, (&info, &labels))
            .await?;
        self.changed.send_replace(());
        self.forget_checkpoint(job.checkpoint).await;
        tracing::info!(job = %id, %version, "job succeeded");
        Ok(version)
    }

    /// Every byte of the model is what its id says, its backbone is there, and it was trained for
    /// this job.
    async fn verify(&self, job: &Job, version: &ModelVersion) -> Result<ModelInfo, Error> {
        let artifacts = &self.storage.artifacts;
        artifacts
            .open_verified(Kind::Model, version.as_str())
            .await?;
        let bytes = artifacts
            .read(Kind::Model, version.as_str(), "model.json")
            .await?;
        let manifest: ModelManifest = serde_json::from_slice(&bytes)
            .map_err(|e| Error::BadModel(format!("model.json: {e}")))?;
        if manifest.spec != job.spec {
            return Err(Error::BadModel(
                "it was trained with another specification".to_owned(),
            ));
        }
        artifacts.folder(Kind::Backbone, &manifest.backbone).await?;
        Ok(ModelInfo {
            version: version.clone(),
            catalog: manifest.catalog,
            dataset: manifest.dataset,
            job: job.id.clone(),
            spec: manifest.spec,
            metrics: manifest.metrics,
            created_ms: now_ms(),
        })
    }

    /// Ends an attempt without a model.
    pub(crate) async fn end_attempt(
        &self,
        id: &JobId,
        epoch: u64,
        end: EndOfAttempt,
    ) -> Result<(), Error> {
        let event = match end {
            EndOfAttempt::Failed(cause) => Event::AttemptFailed { epoch, cause },
            EndOfAttempt::Cancelled => Event::Stopped { epoch },
            EndOfAttempt::Released => Event::Released { epoch },
        };
        self.apply(id, &event).await?;
        Ok(())
    }

    /// Ends leases that nobody renewed, until `shutdown`. While this coordinator or the store was
    /// away nobody could renew one: after that, workers have a whole term to speak up.
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
                Ok(job) => tracing::warn!(job = %job.id, state = ?job.state, "a worker was lost"),
                Err(Error::Refused(_)) => {} // a heartbeat came in between
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn apply(&self, id: &JobId, event: &Event) -> Result<Job, Error> {
        let job = self.storage.jobs.update(id, |job| step(job, event)).await?;
        self.changed.send_replace(());
        if job.state.is_final() {
            self.forget_checkpoint(job.checkpoint.clone()).await;
        }
        Ok(job)
    }

    /// A checkpoint that nobody needs any more; failing to delete it costs space, not correctness.
    async fn forget_checkpoint(&self, checkpoint: Option<String>) {
        let Some(checkpoint) = checkpoint else { return };
        if let Err(error) = self
            .storage
            .artifacts
            .delete(Kind::Checkpoint, &checkpoint)
            .await
        {
            tracing::warn!(
                checkpoint,
                error = service::chain(&error),
                "cannot delete a checkpoint"
            );
        }
    }

    /// A job's events from number `from` on, then live until it ends or `shutdown`.
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

/// Applies an event; the message is the numbered event that it becomes, if people would want to
/// read it.
fn step(job: &mut Job, event: &Event) -> Result<Option<String>, Error> {
    let at_once = job.progress.tokens_at_once;
    let before = (job.state, job.progress.stage.clone(), job.progress.epoch);
    job.apply(event.clone(), now_ms())?;
    let after = (job.state, job.progress.stage.clone(), job.progress.epoch);
    Ok(match event {
        Event::Heartbeat { progress, .. }
            if at_once > progress.tokens_at_once && progress.tokens_at_once > 0 =>
        {
            let now = progress.tokens_at_once;
            Some(format!(
                "the device's memory is full: {now} tokens at once from now on, {at_once} before"
            ))
        }
        Event::Heartbeat { .. } if before == after => None,
        Event::Heartbeat { progress, .. } => Some(format!(
            "{} epoch {} of {}",
            progress.stage, progress.epoch, progress.n_epochs
        )),
        Event::Leased { worker, .. } => {
            Some(format!("leased by {worker}, attempt {}", job.attempts))
        }
        Event::Checkpointed { .. } => Some("checkpoint saved".to_owned()),
        Event::AttemptFailed { cause, .. } => Some(ended_early(job, cause)),
        Event::LeaseEnded => job.cause.as_ref().map(|cause| ended_early(job, cause)),
        Event::Stopped { .. } => Some("stopped".to_owned()),
        Event::Released { .. } => Some("given back by a worker that is shutting down".to_owned()),
        Event::Committed { version, .. } => Some(format!("model version {version} published")),
        Event::CancelRequested => Some("cancel requested".to_owned()),
    })
}

fn ended_early(job: &Job, cause: &Cause) -> String {
    let what = if job.state.is_final() {
        "failed"
    } else {
        "attempt failed, will be tried again"
    };
    format!("{what}: {}", cause.message)
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
    /// The next event; `None` at the end.
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
                self.ready
                    .extend(self.jobs.storage.jobs.events(&self.id, self.next).await?);
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
                let look_again = tokio::time::timeout(LOOK_AGAIN, self.changed.changed());
                let _woken = self.shutdown.run_until_cancelled(look_again).await;
            }
        }
    }
}
