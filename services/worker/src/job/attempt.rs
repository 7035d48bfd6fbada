//! One attempt at one job: fetch what it needs, train on a thread of its own,
//! keep the lease alive, commit.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proto::pb;
use storage::Artifacts;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::contract::input::{Input, Trained};
use crate::contract::leave::Leave;
use crate::contract::progress::{Progress, Watch};
use crate::error::Error;
use crate::job::end::End;
use crate::job::equipment::Equipment;
use crate::job::fetch;
use crate::job::grace::Grace;
use crate::job::lease::Lease;
use crate::scratch::Scratch;
use crate::training::train::train;

/// Runs an attempt to its end, whatever that is. The lease is kept alive all
/// the while: also when a checkpoint or the model is being stored.
pub(super) async fn run(
    equipment: &Equipment,
    leased: pb::LeasedJob,
    shutdown: &CancellationToken,
) {
    let settings = &equipment.settings;
    let (job, epoch) = (leased.job.clone(), leased.epoch);
    tracing::info!(job, epoch, "job leased");
    let stop = CancellationToken::new();
    let (progress, watch) = Progress::new(&settings.device, stop.clone());
    let coordinator = equipment.coordinator.clone();
    let mut lease = Lease::new(coordinator, leased, watch.progress.clone());
    let mut kept_alive = lease.clone();
    let every = Duration::from_millis(settings.heartbeat_ms.max(1));
    equipment.at_hand.set(Some(watch.progress.clone()));
    let mut training = Training::new(watch);
    let grace = Grace::new(settings);
    let leave = training.leave.clone();
    let ended = tokio::select! {
        biased;
        end = kept_alive.keep_alive(every) => Err(end),
        ended = work(equipment, &mut lease, &mut training, progress) => ended,
        () = grace.is_used_up(shutdown, &leave) => Err(End::released()),
    };
    stop.cancel();
    equipment.at_hand.set(None);
    match ended {
        Ok(()) => tracing::info!(job, "job done"),
        Err(End::LeaseLost) => {
            tracing::warn!(
                job,
                epoch,
                "the lease was lost; its work is dropped"
            );
        }
        Err(End::Told(reason)) => {
            let reason = grace.reason(reason, shutdown);
            let grace = grace.to_tell(shutdown);
            let told = tokio::time::timeout(grace, lease.tell(reason)).await;
            if told.is_err() {
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

/// Trains on a thread of its own, stores what comes out, commits.
async fn work(
    equipment: &Equipment,
    lease: &mut Lease,
    training: &mut Training,
    progress: Progress,
) -> Result<(), End> {
    let artifacts = &staged_by(&equipment.artifacts, lease.leased());
    let scratch = training.make_scratch(&equipment.scratch)?;
    let input = fetch::input(equipment, lease.leased(), &scratch).await?;
    let mut result = training.start(input, progress)?;
    loop {
        tokio::select! {
            biased;
            // A training that is to leave hands over a last one, and ends.
            Some(folder) = training.checkpoints.recv() => {
                lease.store_checkpoint(artifacts, &folder).await?;
            }
            trained = &mut result => {
                let trained = finished(trained)?;
                return lease.commit(artifacts, &trained).await;
            }
        }
    }
}

/// The store; what is half-uploaded there is this attempt's.
fn staged_by(artifacts: &Artifacts, leased: &pb::LeasedJob) -> Artifacts {
    let job = leased.job.trim_start_matches("jobs/");
    artifacts.staged_by(job, leased.epoch)
}

/// The training thread and its folder: the next job waits until both are gone.
struct Training {
    checkpoints: mpsc::Receiver<PathBuf>,
    leave: Leave,
    thread: Option<JoinHandle<()>>,
    scratch: Option<TempDir>,
}

impl Training {
    fn new(watch: Watch) -> Self {
        Self {
            checkpoints: watch.checkpoints,
            leave: watch.leave,
            thread: None,
            scratch: None,
        }
    }

    fn make_scratch(&mut self, parent: &Scratch) -> Result<PathBuf, Error> {
        let scratch = parent.folder()?;
        let folder = scratch.path().to_owned();
        self.scratch = Some(scratch);
        Ok(folder)
    }

    /// Starts the thread; its result arrives once.
    fn start(
        &mut self,
        input: Input,
        mut progress: Progress,
    ) -> Result<oneshot::Receiver<Result<Trained, Error>>, Error> {
        let (done, result) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("training".to_owned())
            .spawn(move || {
                // The receiver is gone only when the attempt was given up.
                drop(done.send(train(&input, &mut progress)));
            })
            .map_err(Error::file("thread `training`"))?;
        self.thread = Some(thread);
        Ok(result)
    }

    async fn ended(self) {
        drop(self.checkpoints); // a thread that waits to hand one over goes on, and ends
        let Some(thread) = self.thread else { return };
        // A panic of the thread was told as the attempt's end already.
        let _joined = tokio::task::spawn_blocking(move || thread.join()).await;
        drop(self.scratch);
    }
}

fn finished(
    trained: Result<Result<Trained, Error>, oneshot::error::RecvError>,
) -> Result<Trained, End> {
    match trained {
        Ok(trained) => Ok(trained?),
        Err(_) => Err(End::internal(
            "the training thread panicked; the worker's log has the place",
        )),
    }
}
