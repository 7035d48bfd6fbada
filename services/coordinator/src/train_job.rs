//! ★ The first half of `TrainJob`: a checked specification is stored `Queued`
//! (`submission.rs`); a worker leases it; heartbeats carry progress out and cancel back; a commit
//! with the current lease epoch ends it with a published model version.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    ArtifactId, Backbone, BackboneLocation, Cause, CauseKind, EndOfAttempt,
    Event, Job, JobId, ModelVersion, Progress, State,
};
use storage::{JobPage, JobQuery, Kind, Publication, Storage};

use crate::clock::WallClock;
use crate::error::Error;
use crate::leases::Leases;
use crate::leftovers::Checkpoints;
use crate::machines::Machines;
use crate::news::News;
use crate::publication;
use crate::queue::line::Queue;
use crate::queues::Queues;
use crate::step::step;

/// Whoever waits looks again after this long even when nothing woke them: other
/// coordinators write too.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What an ended job left is removed within this time, or later.
const CLEANING_UP: Duration = Duration::from_secs(2);

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
    /// The workers that wait for a job.
    pub(crate) queue: Queue,
    /// How long ago each lease was renewed.
    pub(crate) leases: Leases,
    /// Whoever follows a job hears here how it changes.
    pub(crate) news: News,
    /// What is written down as the time.
    pub(crate) clock: WallClock,
    /// What each queue may have.
    pub(crate) queues: Queues,
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
            queue: Queue::default(),
            leases: Leases::default(),
            news: News::default(),
            clock: WallClock::default(),
            queues: Queues::default(),
        }
    }

    /// With queues that have limits.
    pub(crate) fn with_queues(self, queues: Queues) -> Self {
        Self { queues, ..self }
    }

    /// With another time that jobs wait for what is out of reach.
    pub(crate) fn waiting_for_outages(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) async fn get(&self, id: &JobId) -> Result<Job, Error> {
        Ok(self.storage.jobs.get(id).await?)
    }

    /// Reads one page of the jobs that a filter takes.
    pub(crate) async fn page(
        &self,
        query: &JobQuery,
    ) -> Result<JobPage, Error> {
        Ok(self.storage.jobs.page(query).await?)
    }

    pub(crate) async fn cancel(&self, id: &JobId) -> Result<Job, Error> {
        self.apply(id, &Event::CancelRequested).await
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
        if let Err(error) = self.apply(id, &event).await {
            self.tidy_after_the_end(id).await;
            return Err(error);
        }

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
        self.clean_up(&job).await;
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
        step(&mut job.clone(), &event, self.clock.now_ms())?;

        let info = publication::verified(&self.storage.artifacts, job, version)
            .await?;
        let publication = Publication {
            info: &info,
            labels: &job.spec.labels,
        };

        let jobs = &self.storage.jobs;
        let change = |job: &mut Job| step(job, &event, self.clock.now_ms());
        let job = jobs
            .update_and_publish(&job.id, change, publication)
            .await?;
        self.note(&job);
        tracing::info!(job = %job.id, %version, "job succeeded");
        self.clean_up(&job).await;
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

        if let Some(version) = &spec.start_from
            && let Err(storage::Error::NotFound { .. }) =
                self.storage.registry.get(version).await
        {
            return Ok(Cause {
                kind: CauseKind::BadData,
                message: format!(
                    "modelVersions/{version}, which the job was to start from, is gone: {}",
                    cause.message
                ),
            });
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
        let change = |job: &mut Job| step(job, event, self.clock.now_ms());
        let job = self.storage.jobs.update(id, change).await?;
        self.note(&job);
        if job.state.is_final() {
            self.clean_up(&job).await;
        }

        Ok(job)
    }

    /// Applies an event; false where it does not fit the job any more, or the
    /// job cannot be read.
    pub(crate) async fn apply_if_fitting(
        &self,
        id: &JobId,
        event: &Event,
    ) -> Result<bool, Error> {
        match self.apply(id, event).await {
            Ok(_) => Ok(true),
            Err(
                Error::Refused(_)
                | Error::Storage(
                    storage::Error::NotFound { .. }
                    | storage::Error::Corrupt { .. },
                ),
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells the followers of an ended job, removes what its attempts left, and
    /// packs its events. A store that is slow does not hold up the call that ended it: what is left
    /// then is found later.
    async fn clean_up(&self, job: &Job) {
        let work = async {
            if let Err(error) = self.tell_followers(job).await {
                let error = service::chain(&error);
                tracing::warn!(job = %job.id, error, "its followers hear later that it has ended");
            }

            self.tidy(job).await;
            self.pack(job).await;
        };
        if tokio::time::timeout(CLEANING_UP, work).await.is_err() {
            tracing::warn!(job = %job.id, "what an ended job left is removed later");
        }
    }

    /// Packs the events of a job that has ended; failing to costs space.
    async fn pack(&self, job: &Job) {
        if let Err(error) = self.storage.jobs.pack_events(job).await {
            let error = service::chain(&error);
            tracing::warn!(job = %job.id, error, "cannot pack a job's events");
        }
    }

    /// Takes note of a job that was changed here just now.
    pub(crate) fn note(&self, job: &Job) {
        self.leases.heard(job);
        self.queue.note(job);
        self.news.tell(job);
    }
}
