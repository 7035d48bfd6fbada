//! A worker's claim on a job, and every call that is made under it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{ArtifactId, EndOfAttempt};
use proto::pb;
use service::client::is_passing;
use storage::{Artifacts, Kind};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::contract::input::Trained;
use crate::error::Error;
use crate::job::end::End;
use crate::job::equipment::Coordinator;
use crate::job::heartbeat::{Answer, Reply, Verdict, verdict};
use crate::job::pauses::Pauses;

/// The longest time for one call to the coordinator.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The coordinator reads every byte of a model before it answers.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// The first pause before a commit is repeated.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The first pause before the attempt's end is told again.
const FIRST_PAUSE_TO_TELL: Duration = Duration::from_millis(200);
/// The longest pause before a commit is repeated.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a commit is tried: for half an hour at least.
const MAX_COMMITS: usize = 64;
/// How long a store out of reach is waited for with a model at hand. After that
/// the job goes back into the queue, where people see what it waits for.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause before a model is stored again.
const LONGEST_STORE_PAUSE: Duration = Duration::from_secs(4);
/// How often a model is stored again that was damaged before it was committed.
const MAX_REPAIRS: usize = 3;

/// A worker's claim on a job, and the way to the coordinator. Clones are the
/// same claim.
#[derive(Clone)]
pub(super) struct Lease {
    coordinator: Coordinator,
    leased: pb::LeasedJob,
    latest: watch::Receiver<domain::Progress>,
    /// The model was sent to be committed; until the answer comes, nobody knows
    /// whose the job is.
    is_committing: Arc<AtomicBool>,
}

impl Lease {
    pub(super) fn new(
        coordinator: Coordinator,
        leased: pb::LeasedJob,
        latest: watch::Receiver<domain::Progress>,
    ) -> Self {
        Self {
            coordinator,
            leased,
            latest,
            is_committing: Arc::default(),
        }
    }

    pub(super) fn leased(&self) -> &pb::LeasedJob {
        &self.leased
    }

    fn job(&self) -> String {
        self.leased.job.clone()
    }

    /// Sends heartbeats; returns when the job is to stop or the lease is lost.
    pub(super) async fn keep_alive(&mut self, every: Duration) -> End {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let reply = self.heartbeat().await;
            let answer = Answer::from(&reply);
            if let (Answer::Nothing, Err(status)) = (answer, &reply) {
                log_failure("heartbeat", status);
            }
            match verdict(answer, self.is_committing.load(Ordering::Relaxed)) {
                Verdict::GoOn => {}
                Verdict::Stop => return End::Told(EndOfAttempt::Cancelled),
                Verdict::Lost => return End::LeaseLost,
                Verdict::AwaitCommit => std::future::pending().await,
            }
        }
    }

    async fn heartbeat(&mut self) -> Reply {
        let progress = (&*self.latest.borrow()).into();
        let request = pb::HeartbeatRequest {
            job: self.job(),
            epoch: self.leased.epoch,
            progress: Some(progress),
        };
        let request = timed(request, CALL_TIMEOUT);
        self.coordinator.heartbeat(request).await
    }

    /// Stores a checkpoint and makes it the job's; failing to costs time after
    /// a crash, not the job.
    pub(super) async fn store_checkpoint(
        &mut self,
        artifacts: &Artifacts,
        folder: &Path,
    ) -> Result<(), End> {
        let stored = artifacts.put(Kind::Checkpoint, folder).await;
        if let Err(error) = tokio::fs::remove_dir_all(folder).await {
            tracing::warn!(%error, "cannot remove a local checkpoint");
        }
        let checkpoint = match stored {
            Ok(id) => id.to_string(),
            Err(error) => {
                tracing::warn!(
                    error = service::chain(&error),
                    "cannot store a checkpoint"
                );
                return Ok(());
            }
        };
        let request = pb::CommitCheckpointRequest {
            job: self.job(),
            epoch: self.leased.epoch,
            checkpoint,
        };
        let request = timed(request, CALL_TIMEOUT);
        match self.coordinator.commit_checkpoint(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(End::LeaseLost)
            }
            Err(status) => {
                log_failure("committing a checkpoint", &status);
                Ok(())
            }
        }
    }

    /// Stores backbone and model, then commits: the job has succeeded once the
    /// coordinator says so.
    pub(super) async fn commit(
        &mut self,
        artifacts: &Artifacts,
        trained: &Trained,
    ) -> Result<(), End> {
        let model = store_patiently(artifacts, trained).await?;
        // The job's record ends with the last losses, not with those of half a
        // second ago.
        if let Err(status) = self.heartbeat().await {
            log_failure("the last heartbeat", &status);
        }
        let request = pb::CommitModelRequest {
            job: self.job(),
            epoch: self.leased.epoch,
            model: model.to_string(),
            metrics: trained.metrics.clone().into_iter().collect(),
        };
        self.is_committing.store(true, Ordering::Relaxed);
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut n_repairs = 0;
        for _ in 0..MAX_COMMITS {
            let request = timed(request.clone(), COMMIT_TIMEOUT);
            let Err(status) = self.coordinator.commit_model(request).await
            else {
                return Ok(());
            };
            log_failure("committing the model", &status);
            // A repeat is safe: to a version that is committed already the
            // answer is the same.
            if is_damage(&status) && n_repairs < MAX_REPAIRS {
                n_repairs += 1;
                artifacts.doubt();
                store_patiently(artifacts, trained).await?;
            } else if !is_passing(&status) {
                return Err(refused(&status));
            }
            tokio::time::sleep(pauses.next()).await;
        }
        Err(End::unavailable(
            "the coordinator did not answer the commit",
        ))
    }

    /// Tells the coordinator how the attempt ended, again while it is away. Who
    /// gives that up leaves it to the lease, which runs out.
    pub(super) async fn tell(&mut self, reason: EndOfAttempt) {
        let job = self.job();
        tracing::info!(job, ?reason, "attempt ended without a model");
        let request = pb::EndAttemptRequest {
            job,
            epoch: self.leased.epoch,
            reason: Some(reason.into()),
        };
        let mut pauses = Pauses::new(FIRST_PAUSE_TO_TELL, LONGEST_PAUSE);
        loop {
            let request = timed(request.clone(), CALL_TIMEOUT);
            match self.coordinator.end_attempt(request).await {
                Ok(_) => return,
                // The job ended meanwhile, or is somebody else's: there is
                // nothing left to tell.
                Err(status) if status.code() == Code::FailedPrecondition => {
                    let message = status.message();
                    tracing::info!(message, "the lease is over");
                    return;
                }
                Err(status) => {
                    log_failure("telling how the attempt ended", &status);
                    if !is_passing(&status) {
                        return;
                    }
                }
            }

            tokio::time::sleep(pauses.next()).await;
        }
    }
}

/// Stores a backbone and its model, again and again while the store is out of
/// reach; returns the model's id.
async fn store_patiently(
    artifacts: &Artifacts,
    trained: &Trained,
) -> Result<ArtifactId, End> {
    let until = Instant::now() + STORE_PATIENCE;
    let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_STORE_PAUSE);
    loop {
        let error = match store(artifacts, trained).await {
            Ok(id) => return Ok(id),
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(Error::Storage(error).into());
        }
        tracing::warn!(
            error = service::chain(&error),
            "cannot store the model yet"
        );
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Stores a backbone and its model; returns the model's id.
async fn store(
    artifacts: &Artifacts,
    trained: &Trained,
) -> Result<ArtifactId, storage::Error> {
    artifacts.put(Kind::Backbone, &trained.backbone).await?;
    artifacts.put(Kind::Model, &trained.model).await
}

/// True where what was stored is damaged, or gone, before it is published.
fn is_damage(status: &Status) -> bool {
    matches!(status.code(), Code::DataLoss | Code::NotFound)
}

/// The end of an attempt whose model the coordinator does not take.
fn refused(status: &Status) -> End {
    if status.code() == Code::FailedPrecondition {
        return End::LeaseLost;
    }
    let message = status.message();
    if is_damage(status) {
        return End::unavailable(format!(
            "the coordinator does not find the model whole: {message}; \
             do it and this worker have the same `storage.artifacts`?"
        ));
    }
    End::internal(format!("the coordinator refused the model: {message}"))
}

fn timed<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

fn log_failure(what: &str, status: &Status) {
    let (code, message) = (status.code(), status.message());
    tracing::warn!(what, ?code, message, "a call to the coordinator failed");
}
