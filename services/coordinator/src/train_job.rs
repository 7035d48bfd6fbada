//! ★ The first half of `TrainJob`: a checked specification is stored `Queued`;
//! a worker leases it; heartbeats carry progress out and cancel back; a commit
//! with the current lease epoch ends it with a published model version.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    ArtifactId, Backbone, BackboneLocation, Cause, CauseKind, EndOfAttempt,
    Event, Job, JobId, ModelVersion, Progress, State, TrainSpec,
};
use storage::{Created, Kind, Listed, Publication, Storage, now_ms};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::leftovers::Checkpoints;
use crate::machines::Machines;
use crate::step::step;
use crate::{body, costs, publication};

/// Waiters look again after this long even when nothing woke them: pauses end,
/// and other coordinators write too.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long a job waits for something out of reach where no setting says so.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(3_600);

/// Moves training jobs from `Queued` to their end.
#[derive(Debug, Clone)]
pub(crate) struct TrainJobs {
    pub(crate) storage: Storage,
    pub(crate) lease_term: Duration,
    /// How long a job waits for something that is out of reach.
    pub(crate) patience: Duration,
    pub(crate) checkpoints: Checkpoints,
    /// What the workers are that ask for work here.
    pub(crate) machines: Machines,
    /// Wakes whoever waits for a job to change.
    pub(crate) changed: watch::Sender<()>,
}

/// A job and the lease on it, as a worker gets them.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) job: Job,
    pub(crate) term: Duration,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// Epoch of the attempt's lease.
    pub(crate) epoch: u64,
    pub(crate) version: ModelVersion,
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl TrainJobs {
    pub(crate) fn new(storage: Storage, lease_term: Duration) -> Self {
        Self {
            storage,
            lease_term,
            patience: DEFAULT_PATIENCE,
            checkpoints: Checkpoints::default(),
            machines: Machines::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// With another time that jobs wait for what is out of reach.
    pub(crate) fn waiting_for_outages(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Queues a job for a specification that `proto` has checked; the same
    /// request id gives the same job.
    pub(crate) async fn submit(
        &self,
        spec: TrainSpec,
        request: Option<&str>,
    ) -> Result<Job, Error> {
        self.check(&spec).await?;
        let id = JobId::new(format!("job-{}", uuid::Uuid::now_v7().simple()))?;
        let job = Job::queued(id, spec, now_ms());
        let created = self.storage.jobs.create(job, request).await?;
        self.changed.send_replace(());
        Ok(match created {
            Created::New(job) => {
                tracing::info!(job = %job.id, dataset = %job.spec.dataset, "job queued");
                job
            }
            Created::Before(job) => job,
        })
    }

    /// Checks what can be known before a worker has the job: the data set
    /// exists.
    async fn check(&self, spec: &TrainSpec) -> Result<(), Error> {
        let dataset = ArtifactId::from(&spec.dataset);
        let artifacts = &self.storage.artifacts;
        Ok(artifacts.require(Kind::Dataset, &dataset).await?)
    }

    /// Checks a specification without queueing it, and says what its parts will
    /// cost.
    pub(crate) async fn costs(
        &self,
        spec: &TrainSpec,
    ) -> Result<Vec<String>, Error> {
        self.check(spec).await?;
        let dataset = ArtifactId::from(&spec.dataset);
        let artifacts = &self.storage.artifacts;
        let manifest = artifacts
            .read(Kind::Dataset, &dataset, "dataset.json")
            .await?;
        let counts =
            serde_json::from_slice(&manifest).map_err(Error::BadDataset)?;
        let open = self.storage.jobs.open().await?;
        let leases = open.iter().filter_map(|job| job.lease.as_ref());
        let busy = leases.map(|lease| &*lease.worker).collect();
        let known = self.machines.known(&busy, Instant::now());
        let work = costs::Work {
            spec,
            counts: &counts,
            body: body::find(spec, &known.backbones, artifacts).await?,
        };
        Ok(costs::notes(&work, &known.calibrations))
    }

    pub(crate) async fn get(&self, id: &JobId) -> Result<Job, Error> {
        Ok(self.storage.jobs.get(id).await?)
    }

    /// Lists the jobs, oldest first.
    pub(crate) async fn list(&self) -> Result<Listed<Job>, Error> {
        Ok(self.storage.jobs.list().await?)
    }

    pub(crate) async fn cancel(&self, id: &JobId) -> Result<Job, Error> {
        self.apply(id, &Event::CancelRequested).await
    }

    /// Puts a job that ended without a model back into the queue.
    pub(crate) async fn retry(&self, id: &JobId) -> Result<Job, Error> {
        let job = self.get(id).await?;
        if job.state.is_final() {
            self.check(&job.spec).await?;
        }

        self.apply(id, &Event::RetryRequested).await
    }

    /// Gives the oldest due job to a worker; waits up to `wait` for one, or
    /// until `shutdown`.
    pub(crate) async fn lease(
        &self,
        worker: &str,
        wait: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Option<Leased>, Error> {
        let until = Instant::now() + wait;
        let mut changed = self.changed.subscribe();
        loop {
            let open = self.storage.jobs.open().await?;
            if let Some(job) = open.iter().find(|job| job.is_due(now_ms())) {
                let event = Event::Leased {
                    worker: worker.to_owned(),
                    term: self.lease_term,
                };

                match self.apply(&job.id, &event).await {
                    Ok(job) => {
                        let term = self.lease_term;
                        return Ok(Some(Leased { job, term }));
                    }
                    Err(Error::Refused(_)) => continue, // another worker was faster
                    Err(error) => return Err(error),
                }
            }

            if Instant::now() >= until || shutdown.is_cancelled() {
                return Ok(None);
            }

            // Woken or not, the next look decides.
            let woken = timeout_at(
                until.min(Instant::now() + LOOK_AGAIN),
                changed.changed(),
            );
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
        Ok(job.state == State::Cancelling)
    }

    /// Makes a stored checkpoint the one that the next attempt starts from; the
    /// one before is deleted.
    pub(crate) async fn commit_checkpoint(
        &self,
        id: &JobId,
        epoch: u64,
        checkpoint: ArtifactId,
    ) -> Result<(), Error> {
        let artifacts = &self.storage.artifacts;
        artifacts.require(Kind::Checkpoint, &checkpoint).await?;
        let before = self.get(id).await?.checkpoint;
        let replaced = before.filter(|before| *before != checkpoint);
        let event = Event::Checkpointed { epoch, checkpoint };
        self.apply(id, &event).await?;
        if let Some(replaced) = replaced {
            self.delete_checkpoint(&replaced).await;
        }

        Ok(())
    }

    /// Verifies a stored model, publishes it and ends the job, in one commit.
    /// The attempt that did so gets the same answer when it asks again.
    pub(crate) async fn commit_model(
        &self,
        id: &JobId,
        committed: &Committed,
    ) -> Result<(), Error> {
        let job = self.get(id).await?;
        if job.was_committed(committed.epoch, &committed.version) {
            return self.answer_again(job).await;
        }

        match self.publish(&job, committed).await {
            // The call that this one repeats may have come through in between.
            Err(Error::Refused(refused)) => {
                let job = self.get(id).await?;
                if job.was_committed(committed.epoch, &committed.version) {
                    return self.answer_again(job).await;
                }

                Err(refused.into())
            }
            published => published,
        }
    }

    /// The answer to a commit that came through before. What the attempts left
    /// is removed here where the first call ended before it did so.
    async fn answer_again(&self, job: Job) -> Result<(), Error> {
        self.tidy(&job).await;
        Ok(())
    }

    async fn publish(
        &self,
        job: &Job,
        committed: &Committed,
    ) -> Result<(), Error> {
        let version = &committed.version;
        let event = Event::Committed {
            epoch: committed.epoch,
            version: version.clone(),
            metrics: committed.metrics.clone(),
        };
        // What will be refused is refused before every byte of a model is read.
        step(&mut job.clone(), &event)?;

        let info = publication::verified(&self.storage.artifacts, job, version)
            .await?;
        let publication = Publication {
            info: &info,
            labels: &job.spec.labels,
        };

        let jobs = &self.storage.jobs;
        let job = jobs
            .update_and_publish(&job.id, |job| step(job, &event), publication)
            .await?;
        self.changed.send_replace(());
        tracing::info!(job = %job.id, %version, "job succeeded");
        self.tidy(&job).await;
        Ok(())
    }

    /// Ends an attempt without a model.
    pub(crate) async fn end_attempt(
        &self,
        id: &JobId,
        epoch: u64,
        end: EndOfAttempt,
    ) -> Result<(), Error> {
        let end = match end {
            EndOfAttempt::Failed(cause) => {
                EndOfAttempt::Failed(self.known_to_be_gone(id, cause).await?)
            }
            EndOfAttempt::Cancelled | EndOfAttempt::Released => end,
        };

        self.apply(id, &end.event(epoch, self.patience)).await?;
        Ok(())
    }

    /// A worker that does not see what it needs is waited for, unless it was
    /// deleted for all: that is final.
    async fn known_to_be_gone(
        &self,
        id: &JobId,
        cause: Cause,
    ) -> Result<Cause, Error> {
        if cause.kind != CauseKind::Unavailable {
            return Ok(cause);
        }

        let spec = self.get(id).await?.spec;
        let artifacts = &self.storage.artifacts;
        let dataset = ArtifactId::from(&spec.dataset);
        let found = artifacts.require(Kind::Dataset, &dataset).await;
        if let Err(storage::Error::NotFound { .. }) = found {
            let kind = CauseKind::BadData;
            return Ok(Cause { kind, ..cause });
        }

        let Backbone::Path(BackboneLocation::Artifact(backbone)) =
            &spec.backbone
        else {
            return Ok(cause);
        };
        let found = artifacts.require(Kind::Backbone, backbone).await;
        Ok(match found {
            Err(storage::Error::NotFound { .. }) => Cause {
                kind: CauseKind::BadBackbone,
                ..cause
            },
            Ok(()) | Err(_) => cause,
        })
    }

    pub(crate) async fn apply(
        &self,
        id: &JobId,
        event: &Event,
    ) -> Result<Job, Error> {
        let job = self.storage.jobs.update(id, |job| step(job, event)).await?;
        self.changed.send_replace(());
        if job.state.is_final() {
            self.tidy(&job).await;
        }

        Ok(job)
    }
}
