//! What a training thread tells the world, and how the world stops it.

use std::path::PathBuf;
use std::time::Instant;

use domain::{EpochReport, Part, StageReport};
use model::metrics::RankingMetrics;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::plan::Epoch;

/// The outside ends: what to observe and how to stop.
#[derive(Debug)]
pub struct Watch {
    /// The latest progress.
    pub progress: watch::Receiver<domain::Progress>,
    /// Folders with complete checkpoints, in order; whoever takes one deletes it afterwards.
    pub checkpoints: mpsc::Receiver<PathBuf>,
}

/// The training thread's ends.
#[derive(Debug)]
pub struct Progress {
    latest: watch::Sender<domain::Progress>,
    checkpoints: mpsc::Sender<PathBuf>,
    stop: CancellationToken,
    started: Instant,
    done_at_start: f64,
    epoch_started: Instant,
    epoch_tokens: usize,
    /// What the time goes to now, and since when.
    part: (Part, Instant),
    /// Losses of the epoch's steps.
    losses: Vec<f64>,
}

/// A stage's first and last loss are means over this many steps.
const WINDOW: usize = 10;

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

impl Progress {
    /// A pair of ends; cancelling `stop` ends the training at its next step.
    pub fn new(device: &str, stop: CancellationToken) -> (Self, Watch) {
        let start = domain::Progress {
            device: device.to_owned(),
            ..domain::Progress::default()
        };
        let (latest, progress) = watch::channel(start);
        let (checkpoints, taken) = mpsc::channel(1);
        let now = Instant::now();
        let own = Self {
            latest,
            checkpoints,
            stop,
            started: now,
            done_at_start: 0.0,
            epoch_started: now,
            epoch_tokens: 0,
            part: (Part::Start, now),
            losses: Vec::new(),
        };
        (
            own,
            Watch {
                progress,
                checkpoints: taken,
            },
        )
    }

    /// Where a resumed job goes on.
    pub(crate) fn resume(
        &mut self,
        (stages, epochs): (Vec<StageReport>, Vec<EpochReport>),
        done: f64,
    ) {
        self.done_at_start = done;
        self.latest.send_modify(|latest| {
            (latest.stages, latest.epochs) = (stages, epochs);
            latest.done = done;
        });
    }

    /// The stages and the epochs so far.
    pub(crate) fn reports(&self) -> (Vec<StageReport>, Vec<EpochReport>) {
        let latest = self.latest.borrow();
        (latest.stages.clone(), latest.epochs.clone())
    }

    /// Notes a validation under the epoch that it follows.
    pub(crate) fn validated(&self, metrics: &RankingMetrics) {
        self.latest.send_modify(|latest| {
            if let Some(epoch) = latest.epochs.last_mut() {
                epoch.valid_ndcg_100 = Some(metrics.ndcg_100);
            }
        });
    }

    /// Another part of the job begins: the time goes to it from now on.
    pub(crate) fn begins(&mut self, part: Part) {
        let now = Instant::now();
        let (ended, since) = std::mem::replace(&mut self.part, (part, now));
        let seconds = now.duration_since(since).as_secs_f64();
        self.latest
            .send_modify(|latest| latest.parts.entry(ended).or_default().seconds += seconds);
    }

    /// Notes how many tokens the device has room for.
    pub(crate) fn has_room_for(&self, n_tokens: usize) {
        self.latest.send_if_modified(|latest| {
            std::mem::replace(&mut latest.tokens_at_once, n_tokens) != n_tokens
        });
    }

    /// An error once somebody wants the training to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    pub(crate) fn epoch_begins(&mut self, epoch: &Epoch, n_steps: usize) {
        self.epoch_started = Instant::now();
        self.epoch_tokens = 0;
        self.losses.clear();
        self.latest.send_modify(|latest| {
            latest.stage = epoch.stage.name().to_owned();
            (latest.epoch, latest.n_epochs) = (epoch.of_stage, epoch.n_of_stage);
            (latest.step, latest.n_steps) = (0, n_steps);
        });
    }

    pub(crate) fn step(&mut self, loss: f64, n_tokens: usize, done: f64) {
        self.epoch_tokens += n_tokens;
        self.losses.push(loss);
        let part = self.part.0;
        let seconds = self.epoch_started.elapsed().as_secs_f64();
        let eta_seconds = self.eta(done);
        self.latest.send_modify(|latest| {
            latest.step += 1;
            latest.parts.entry(part).or_default().n_tokens += n_tokens as f64;
            latest.loss = loss;
            latest.tokens_per_second = self.epoch_tokens as f64 / seconds.max(1e-9);
            (latest.done, latest.eta_seconds) = (done, eta_seconds);
        });
    }

    fn eta(&self, done: f64) -> f64 {
        let progressed = done - self.done_at_start;
        if progressed <= 0.0 {
            0.0
        } else {
            self.started.elapsed().as_secs_f64() / progressed * (1.0 - done)
        }
    }

    /// Notes the epoch's losses under its stage.
    pub(crate) fn epoch_ends(&mut self, epoch: &Epoch) {
        let first_loss = mean(&self.losses[..self.losses.len().min(WINDOW)]);
        let last_loss = mean(&self.losses[self.losses.len().saturating_sub(WINDOW)..]);
        let loss = mean(&self.losses);
        self.latest.send_modify(|latest| {
            let name = epoch.stage.name();
            let (stage, epoch) = (name.to_owned(), epoch.of_stage);
            latest.epochs.push(EpochReport {
                stage,
                epoch,
                loss,
                valid_ndcg_100: None,
            });
            match latest.stages.iter_mut().find(|report| report.stage == name) {
                Some(report) => {
                    report.last_loss = last_loss;
                    report.n_epochs += 1;
                }
                None => {
                    latest.stages.push(StageReport {
                        stage: name.to_owned(),
                        first_loss,
                        last_loss,
                        n_epochs: 1,
                    });
                }
            }
        });
        tracing::info!(
            stage = epoch.stage.name(),
            epoch = epoch.of_stage,
            loss,
            "epoch finished"
        );
    }

    pub(crate) fn enters(&self, stage: &str) {
        self.latest.send_modify(|latest| {
            stage.clone_into(&mut latest.stage);
            (latest.epoch, latest.n_epochs, latest.step, latest.n_steps) = (1, 1, 0, 0);
        });
    }

    /// Hands a checkpoint over; waits while the one before is still being stored.
    pub(crate) fn checkpoint(&self, folder: PathBuf) -> Result<(), Error> {
        self.checkpoints
            .blocking_send(folder)
            .map_err(|_| Error::Stopped)
    }
}
