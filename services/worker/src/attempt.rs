//! One attempt at one job: fetch what it needs, train on a thread of its own, keep the lease alive, commit.

use std::path::Path;
use std::time::Duration;

use domain::{Cause, CauseKind, TrainSpec};
use proto::{EndOfAttempt, pb};
use storage::Kind;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::train::{Input, Trained, train};
use crate::{Error, Progress, Watch, Worker};

/// How an attempt ends.
enum End {
    /// With a model.
    Trained(Trained),
    /// Without one; the coordinator is told why.
    Told(EndOfAttempt),
    /// The lease is somebody else's now: nothing of this attempt counts.
    LeaseLost,
}

/// Longest time for one call to the coordinator.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries for a call that must get through, a second apart.
const N_TRIES: u32 = 30;

/// Runs an attempt to its end, whatever that is.
pub(crate) async fn run(worker: &mut Worker, leased: pb::LeasedJob, shutdown: &CancellationToken) {
    tracing::info!(job = leased.job, epoch = leased.epoch, "job leased");
    let end = match tempfile::tempdir_in(&worker.settings.scratch) {
        Err(source) => {
            let error = Error::File { path: worker.settings.scratch.clone(), source };
            End::Told(EndOfAttempt::Failed(error.cause()))
        }
        Ok(scratch) => {
            let end = work(worker, &leased, scratch.path(), shutdown).await;
            match end {
                End::Trained(trained) => commit(worker, &leased, &trained).await,
                End::Told(_) | End::LeaseLost => end,
            }
        }
    };
    match end {
        End::Trained(_) => tracing::info!(job = leased.job, "job done"),
        End::LeaseLost => tracing::warn!(job = leased.job, epoch = leased.epoch, "the lease was lost; work dropped"),
        End::Told(reason) => tell(worker, &leased, reason).await,
    }
}

/// Trains, and keeps the lease alive meanwhile.
async fn work(worker: &mut Worker, leased: &pb::LeasedJob, scratch: &Path, shutdown: &CancellationToken) -> End {
    let input = match input(worker, leased, scratch).await {
        Ok(input) => input,
        Err(cause) => return End::Told(EndOfAttempt::Failed(cause)),
    };
    let stop = CancellationToken::new();
    let (mut progress, watch) = Progress::new(&worker.settings.device, stop.clone());
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("training".to_owned());
    let spawned = thread.spawn(move || {
        // The receiver is gone only when the attempt was given up.
        drop(done.send(train(&input, &mut progress)));
    });
    if let Err(source) = spawned {
        let error = Error::File { path: "thread `training`".into(), source };
        return End::Told(EndOfAttempt::Failed(error.cause()));
    }
    let end = tend(worker, leased, watch, result, shutdown).await;
    stop.cancel();
    end
}

/// Heartbeats and checkpoints until the training ends or must end.
async fn tend(
    worker: &mut Worker,
    leased: &pb::LeasedJob,
    mut watch: Watch,
    mut result: oneshot::Receiver<Result<Trained, Error>>,
    shutdown: &CancellationToken,
) -> End {
    let mut beat = tokio::time::interval(Duration::from_millis(worker.settings.heartbeat_ms));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return End::Told(EndOfAttempt::Released),
            trained = &mut result => return finished(trained),
            Some(folder) = watch.checkpoints.recv() => {
                if let Err(end) = store_checkpoint(worker, leased, &folder).await {
                    return end;
                }
            }
            _ = beat.tick() => {
                let progress = watch.progress.borrow().clone();
                match heartbeat(worker, leased, &progress).await {
                    Ok(false) => {}
                    Ok(true) => return End::Told(EndOfAttempt::Cancelled),
                    Err(status) if status.code() == Code::FailedPrecondition => return End::LeaseLost,
                    Err(status) => {
                        // The work goes on; if the lease ends meanwhile, the coordinator says so at the next call.
                        tracing::warn!(code = ?status.code(), message = status.message(), "heartbeat failed");
                    }
                }
            }
        }
    }
}

fn finished(trained: Result<Result<Trained, Error>, oneshot::error::RecvError>) -> End {
    match trained {
        Ok(Ok(trained)) => End::Trained(trained),
        Ok(Err(error)) => End::Told(EndOfAttempt::Failed(error.cause())),
        Err(_) => {
            let message = "the training thread panicked; its log has the place".to_owned();
            End::Told(EndOfAttempt::Failed(Cause { kind: CauseKind::Internal, message }))
        }
    }
}

/// Everything the training needs, on the local disk and verified.
async fn input(worker: &Worker, leased: &pb::LeasedJob, scratch: &Path) -> Result<Input, Cause> {
    let spec = leased.spec.clone().unwrap_or_default();
    let spec = TrainSpec::try_from(spec).map_err(|invalid| Error::Spec(invalid.to_string()).cause())?;
    let dataset = worker.artifacts.open_verified(Kind::Dataset, spec.dataset.as_str()).await;
    let dataset = dataset.map_err(|error| {
        let kind = match &error {
            storage::Error::NotFound { .. } | storage::Error::Corrupt { .. } => CauseKind::BadData,
            storage::Error::Unavailable { .. }
            | storage::Error::Contended(_)
            | storage::Error::Setting { .. }
            | storage::Error::InUse(_)
            | storage::Error::File { .. } => CauseKind::Internal,
        };
        Cause { kind, message: service::chain(&error) }
    })?;
    let resume = match leased.checkpoint.as_str() {
        "" => None,
        id => match worker.artifacts.open_verified(Kind::Checkpoint, id).await {
            Ok(folder) => Some(folder),
            Err(error) => {
                tracing::warn!(checkpoint = id, error = service::chain(&error), "starting over: no usable checkpoint");
                None
            }
        },
    };
    Ok(Input {
        spec,
        dataset,
        backbone_root: worker.settings.backbone_root.clone(),
        resume,
        scratch: scratch.to_owned(),
        device: worker.device.clone(),
        checkpoint_every: Duration::from_secs(worker.settings.checkpoint_every_s),
    })
}

async fn heartbeat(
    worker: &mut Worker,
    leased: &pb::LeasedJob,
    progress: &domain::Progress,
) -> Result<bool, tonic::Status> {
    let progress = Some(progress.into());
    let request = pb::HeartbeatRequest { job: leased.job.clone(), epoch: leased.epoch, progress };
    Ok(worker.coordinator.heartbeat(timed(request)).await?.into_inner().cancel)
}

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// Stores a checkpoint and makes it the job's; failing to costs time after a crash, not the job.
async fn store_checkpoint(worker: &mut Worker, leased: &pb::LeasedJob, folder: &Path) -> Result<(), End> {
    let id = match worker.artifacts.put(Kind::Checkpoint, folder).await {
        Ok(id) => id,
        Err(error) => {
            tracing::warn!(error = service::chain(&error), "cannot store a checkpoint");
            return Ok(());
        }
    };
    if let Err(error) = tokio::fs::remove_dir_all(folder).await {
        tracing::warn!(%error, "cannot remove a local checkpoint");
    }
    let request = pb::CommitCheckpointRequest { job: leased.job.clone(), epoch: leased.epoch, checkpoint: id };
    match worker.coordinator.commit_checkpoint(timed(request)).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::FailedPrecondition => Err(End::LeaseLost),
        Err(status) => {
            tracing::warn!(code = ?status.code(), message = status.message(), "cannot commit a checkpoint");
            Ok(())
        }
    }
}

/// Stores backbone and model, then commits: the job has succeeded once the coordinator says so.
async fn commit(worker: &mut Worker, leased: &pb::LeasedJob, trained: &Trained) -> End {
    let stored = async {
        worker.artifacts.put(Kind::Backbone, &trained.backbone).await?;
        worker.artifacts.put(Kind::Model, &trained.model).await
    };
    let model = match stored.await {
        Ok(model) => model,
        Err(error) => return End::Told(EndOfAttempt::Failed(Error::Storage(error).cause())),
    };
    let request = pb::CommitModelRequest {
        job: leased.job.clone(),
        epoch: leased.epoch,
        model,
        metrics: trained.metrics.clone().into_iter().collect(),
    };
    for _ in 0..N_TRIES {
        // A repeat is safe: the coordinator refuses a second commit, and the first one counts.
        match worker.coordinator.commit_model(timed(request.clone())).await {
            Ok(_) => return End::Trained(trained.clone()),
            Err(status) if status.code() == Code::FailedPrecondition => return End::LeaseLost,
            Err(status) if status.code() == Code::InvalidArgument => {
                let cause = Cause { kind: CauseKind::Internal, message: status.message().to_owned() };
                return End::Told(EndOfAttempt::Failed(cause));
            }
            Err(status) => tracing::warn!(code = ?status.code(), message = status.message(), "commit failed"),
        }
        // The lease is kept alive while the coordinator is away.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    End::LeaseLost
}

/// Tells the coordinator how the attempt ended; if that fails, the lease runs out and says it instead.
async fn tell(worker: &mut Worker, leased: &pb::LeasedJob, reason: EndOfAttempt) {
    tracing::info!(job = leased.job, ?reason, "attempt ended without a model");
    let request = pb::EndAttemptRequest { job: leased.job.clone(), epoch: leased.epoch, reason: Some(reason.into()) };
    if let Err(status) = worker.coordinator.end_attempt(timed(request)).await {
        tracing::warn!(code = ?status.code(), message = status.message(), "cannot tell how the attempt ended");
    }
}
