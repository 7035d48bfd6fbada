//! One attempt at one job: fetch what it needs, train on a thread of its own, keep the lease alive,
//! commit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{ArtifactId, Backbone, BackboneLocation, Cause, CauseKind, EndOfAttempt, TrainSpec};
use proto::pb;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use storage::{Artifacts, Kind};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{Backbones, Error, Input, Progress, Trained, Watch, Worker, train};

/// How an attempt ends.
enum End {
    /// With a model that is published.
    Trained,
    /// Without one; the coordinator is told why.
    Told(EndOfAttempt),
    /// The lease is somebody else's now: nothing of this attempt counts.
    LeaseLost,
}

/// Longest time for one call to the coordinator.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The coordinator reads every byte of a model before it answers.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two tries of a call that must get through.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs an attempt to its end, whatever that is. The lease is kept alive all the while: also when a
/// checkpoint or the model is being stored.
pub(crate) async fn run(worker: &Worker, leased: pb::LeasedJob, shutdown: &CancellationToken) {
    tracing::info!(job = leased.job, epoch = leased.epoch, "job leased");
    let stop = CancellationToken::new();
    let (
        progress,
        Watch {
            progress: latest,
            checkpoints,
        },
    ) = Progress::new(&worker.settings.device, stop.clone());
    let mut lease = Lease {
        coordinator: worker.coordinator.clone(),
        leased,
        latest,
    };
    let mut kept = lease.clone();
    let every = Duration::from_millis(worker.settings.heartbeat_ms.max(1));
    let mut training = Training::default();
    let end = tokio::select! {
        biased;
        () = shutdown.cancelled() => End::Told(EndOfAttempt::Released),
        end = kept.keep_alive(every) => end,
        end = work(worker, &mut lease, &mut training, (progress, checkpoints)) => end,
    };
    stop.cancel();
    let (job, epoch) = (lease.leased.job.clone(), lease.leased.epoch);
    match end {
        End::Trained => tracing::info!(job, "job done"),
        End::LeaseLost => tracing::warn!(job, epoch, "the lease was lost; its work is dropped"),
        End::Told(reason) => {
            let grace = Duration::from_secs(worker.settings.grace_s);
            if tokio::time::timeout(grace, lease.tell(reason))
                .await
                .is_err()
            {
                tracing::warn!(
                    job,
                    ?grace,
                    "the coordinator did not hear how the attempt ended; the lease will run out"
                );
            }
        }
    }
    if !shutdown.is_cancelled() {
        training.ended().await;
    }
}

/// The training thread and its folder: the next job waits until both are gone.
#[derive(Default)]
struct Training {
    thread: Option<std::thread::JoinHandle<()>>,
    scratch: Option<TempDir>,
}

impl Training {
    async fn ended(self) {
        let Some(thread) = self.thread else { return };
        // A panic of the thread was told as the attempt's end already.
        let _joined = tokio::task::spawn_blocking(move || thread.join()).await;
        drop(self.scratch);
    }
}

/// Trains on a thread of its own, stores what comes out, commits.
async fn work(
    worker: &Worker,
    lease: &mut Lease,
    training: &mut Training,
    (mut progress, mut checkpoints): (Progress, mpsc::Receiver<PathBuf>),
) -> End {
    let failed = |error: &Error| End::Told(EndOfAttempt::Failed(error.cause()));
    let scratch = match tempfile::tempdir_in(&worker.settings.scratch) {
        Ok(scratch) => training.scratch.insert(scratch).path().to_owned(),
        Err(source) => {
            return failed(&Error::File {
                path: worker.settings.scratch.clone(),
                source,
            });
        }
    };
    let input = match input(worker, &lease.leased, &scratch).await {
        Ok(input) => input,
        Err(cause) => return End::Told(EndOfAttempt::Failed(cause)),
    };
    let (done, mut result) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("training".to_owned())
        .spawn(move || {
            // The receiver is gone only when the attempt was given up.
            drop(done.send(train(&input, &mut progress)));
        });
    match spawned {
        Ok(thread) => training.thread = Some(thread),
        Err(source) => {
            return failed(&Error::File {
                path: "thread `training`".into(),
                source,
            });
        }
    }
    loop {
        tokio::select! {
            trained = &mut result => match finished(trained) {
                Ok(trained) => return lease.commit(&worker.artifacts, &trained).await,
                Err(cause) => return End::Told(EndOfAttempt::Failed(cause)),
            },
            Some(folder) = checkpoints.recv() => {
                if let Err(end) = lease.store_checkpoint(&worker.artifacts, &folder).await {
                    return end;
                }
            }
        }
    }
}

fn finished(
    trained: Result<Result<Trained, Error>, oneshot::error::RecvError>,
) -> Result<Trained, Cause> {
    match trained {
        Ok(trained) => trained.map_err(|error| error.cause()),
        Err(_) => {
            let message = "the training thread panicked; the worker's log has the place".to_owned();
            Err(Cause {
                kind: CauseKind::Internal,
                message,
            })
        }
    }
}

/// Everything the training needs, on the local disk and verified.
async fn input(worker: &Worker, leased: &pb::LeasedJob, scratch: &Path) -> Result<Input, Cause> {
    let spec = leased.spec.clone().unwrap_or_default();
    let spec =
        TrainSpec::try_from(spec).map_err(|invalid| Error::Spec(invalid.to_string()).cause())?;
    let dataset = worker
        .artifacts
        .open_verified(Kind::Dataset, &ArtifactId::from(&spec.dataset))
        .await;
    let dataset = dataset.map_err(|error| unusable(&error, CauseKind::BadData))?;
    let resume = match ArtifactId::new(leased.checkpoint.as_str()) {
        Err(_) => None, // empty: this is the first attempt
        Ok(id) => match worker.artifacts.open_verified(Kind::Checkpoint, &id).await {
            Ok(folder) => Some(folder),
            Err(error) => {
                tracing::warn!(
                    checkpoint = %id,
                    error = service::chain(&error),
                    "starting over: no usable checkpoint"
                );
                None
            }
        },
    };
    Ok(Input {
        job: leased.job.clone(),
        dataset,
        backbones: backbones(worker, &spec).await?,
        spec,
        resume,
        token_files: worker.settings.scratch.join("tokens"),
        scratch: scratch.to_owned(),
        device: worker.device.clone(),
        precision: worker.settings.precision,
        checkpoint_every: Duration::from_secs(worker.settings.checkpoint_every_s),
    })
}

/// An artifact that cannot be opened: of the given kind where it is missing or broken, else
/// storage's own failure.
fn unusable(error: &storage::Error, bad: CauseKind) -> Cause {
    let kind = match error {
        storage::Error::NotFound { .. } | storage::Error::Corrupt { .. } => bad,
        storage::Error::Unavailable { .. }
        | storage::Error::Contended(_)
        | storage::Error::Setting { .. }
        | storage::Error::InUse(_)
        | storage::Error::File { .. } => CauseKind::Internal,
    };
    Cause {
        kind,
        message: service::chain(error),
    }
}

/// Where the job's backbone comes from; an artifact is verified here.
async fn backbones(worker: &Worker, spec: &TrainSpec) -> Result<Backbones, Cause> {
    let artifact = match &spec.backbone {
        Backbone::Path(BackboneLocation::Artifact(id)) => {
            let folder = worker.artifacts.open_verified(Kind::Backbone, id).await;
            Some(folder.map_err(|error| unusable(&error, CauseKind::BadBackbone))?)
        }
        Backbone::Path(BackboneLocation::Folder(_) | BackboneLocation::Hub { .. })
        | Backbone::Random(_) => None,
    };
    let (root, hub_url) = (
        worker.settings.backbone_root.clone(),
        worker.settings.hub_url.clone(),
    );
    Ok(Backbones {
        root,
        hub_url,
        artifact,
    })
}

fn timed<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// A worker's claim on a job, and the way to the coordinator.
#[derive(Clone)]
struct Lease {
    coordinator: WorkerServiceClient<Connection>,
    leased: pb::LeasedJob,
    latest: watch::Receiver<domain::Progress>,
}

impl Lease {
    /// Sends heartbeats; returns when the job is to stop or the lease is lost.
    async fn keep_alive(&mut self, every: Duration) -> End {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            match self.heartbeat().await {
                Ok(answer) if answer.get_ref().cancel => return End::Told(EndOfAttempt::Cancelled),
                Ok(_) => {}
                Err(status) if status.code() == Code::FailedPrecondition => return End::LeaseLost,
                // The work goes on; if the lease ends meanwhile, the coordinator says so at the
                // next call.
                Err(status) => log_failure("heartbeat", &status),
            }
        }
    }

    async fn heartbeat(&mut self) -> Result<tonic::Response<pb::HeartbeatResponse>, tonic::Status> {
        let progress = Some((&*self.latest.borrow()).into());
        let (job, epoch) = (self.leased.job.clone(), self.leased.epoch);
        let request = pb::HeartbeatRequest {
            job,
            epoch,
            progress,
        };
        self.coordinator
            .heartbeat(timed(request, CALL_TIMEOUT))
            .await
    }

    /// Stores a checkpoint and makes it the job's; failing to costs time after a crash, not the
    /// job.
    async fn store_checkpoint(&mut self, artifacts: &Artifacts, folder: &Path) -> Result<(), End> {
        let id = match artifacts.put(Kind::Checkpoint, folder).await {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(error = service::chain(&error), "cannot store a checkpoint");
                return Ok(());
            }
        };
        if let Err(error) = tokio::fs::remove_dir_all(folder).await {
            tracing::warn!(%error, "cannot remove a local checkpoint");
        }
        let (job, epoch) = (self.leased.job.clone(), self.leased.epoch);
        let request = pb::CommitCheckpointRequest {
            job,
            epoch,
            checkpoint: id.to_string(),
        };
        match self
            .coordinator
            .commit_checkpoint(timed(request, CALL_TIMEOUT))
            .await
        {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => Err(End::LeaseLost),
            Err(status) => {
                log_failure("committing a checkpoint", &status);
                Ok(())
            }
        }
    }

    /// Stores backbone and model, then commits: the job has succeeded once the coordinator says so.
    async fn commit(&mut self, artifacts: &Artifacts, trained: &Trained) -> End {
        let stored = async {
            artifacts.put(Kind::Backbone, &trained.backbone).await?;
            artifacts.put(Kind::Model, &trained.model).await
        };
        let model = match stored.await {
            Ok(model) => model,
            Err(error) => return End::Told(EndOfAttempt::Failed(Error::Storage(error).cause())),
        };
        // The job's record ends with the last losses, not with those of half a second ago.
        if let Err(status) = self.heartbeat().await {
            log_failure("the last heartbeat", &status);
        }
        let metrics = trained.metrics.clone().into_iter().collect();
        let (job, epoch) = (self.leased.job.clone(), self.leased.epoch);
        let request = pb::CommitModelRequest {
            job,
            epoch,
            model: model.to_string(),
            metrics,
        };
        loop {
            // A repeat is safe: the coordinator gives the answer of the first one again.
            // The heartbeats beside this end the loop when the lease is lost.
            match self
                .coordinator
                .commit_model(timed(request.clone(), COMMIT_TIMEOUT))
                .await
            {
                Ok(_) => return End::Trained,
                Err(status) if status.code() == Code::FailedPrecondition => return End::LeaseLost,
                Err(status) if is_passing(&status) => log_failure("committing the model", &status),
                Err(status) => {
                    let message =
                        format!("the coordinator refused the model: {}", status.message());
                    return End::Told(EndOfAttempt::Failed(Cause {
                        kind: CauseKind::Internal,
                        message,
                    }));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells the coordinator how the attempt ended; if that fails, the lease runs out and says it
    /// instead.
    async fn tell(&mut self, reason: EndOfAttempt) {
        tracing::info!(
            job = self.leased.job,
            ?reason,
            "attempt ended without a model"
        );
        let (job, epoch) = (self.leased.job.clone(), self.leased.epoch);
        let request = pb::EndAttemptRequest {
            job,
            epoch,
            reason: Some(reason.into()),
        };
        match self
            .coordinator
            .end_attempt(timed(request, CALL_TIMEOUT))
            .await
        {
            Ok(_) => {}
            // The job ended meanwhile, or is somebody else's: there is nothing left to tell.
            Err(status) if status.code() == Code::FailedPrecondition => {
                tracing::info!(message = status.message(), "the lease is over");
            }
            Err(status) => log_failure("telling how the attempt ended", &status),
        }
    }
}

/// A failure that a repeat may not meet.
fn is_passing(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
    )
}

fn log_failure(what: &str, status: &tonic::Status) {
    tracing::warn!(what, code = ?status.code(), message = status.message(), "a call to the coordinator failed");
}
