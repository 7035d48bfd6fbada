//! What a training thread tells the world, and how the world stops it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use domain::{EpochReport, Part, StageReport};
use model::metrics::RankingMetrics;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::contract::leave::Leave;
use crate::contract::plan::Epoch;
use crate::error::Error;

/// The outside ends: what to observe.
#[derive(Debug)]
pub struct Watch {
    /// The latest progress of the training.
    pub progress: watch::Receiver<domain::Progress>,
    /// Folders with complete checkpoints, in order; whoever takes one deletes
    /// it afterwards.
    pub checkpoints: mpsc::Receiver<PathBuf>,
    /// Asks the training to save what it has and to stop.
    pub leave: Leave,
}

/// The training thread's ends.
#[derive(Debug)]
pub struct Progress {
    latest: watch::Sender<domain::Progress>,
    checkpoints: mpsc::Sender<PathBuf>,
    stop: CancellationToken,
    leave: Leave,
    /// An epoch has begun: there may soon be something to save.
    is_learning: bool,
    started: Instant,
    /// The share of the plan that was done when this attempt went on from a
    /// checkpoint.
    done_at_start: f64,
    epoch_started: Instant,
    epoch_tokens: usize,
    /// What the time goes to now.
    part: Part,
    part_started: Instant,
    losses: Vec<f64>,
    /// The model is being fitted once more, on all interactions.
    is_final_fit: bool,
}

/// How the stages and the epochs went.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    pub(crate) stages: Vec<StageReport>,
    pub(crate) epochs: Vec<EpochReport>,
}

/// A stage's first and last loss are means over this many steps.
const WINDOW: usize = 10;
/// What stands before a stage's name in the fit on all interactions.
const FINAL: &str = "final_";
/// What a job's record calls the time after the last stage.
const EVALUATION: &str = "evaluation";

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
        let leave = Leave::default();
        let own = Self {
            latest,
            checkpoints,
            stop,
            leave: leave.clone(),
            is_learning: false,
            started: now,
            done_at_start: 0.0,
            epoch_started: now,
            epoch_tokens: 0,
            part: Part::Start,
            part_started: now,
            losses: Vec::new(),
            is_final_fit: false,
        };
        let watch = Watch {
            progress,
            checkpoints: taken,
            leave,
        };
        (own, watch)
    }

    /// Goes on from a checkpoint's reports, with a share of the plan done.
    pub(crate) fn resume(&mut self, reports: Reports, done: f64) {
        self.done_at_start = done;
        self.latest.send_modify(|latest| {
            latest.stages = reports.stages;
            latest.epochs = reports.epochs;
            latest.done = done;
        });
    }

    pub(crate) fn reports(&self) -> Reports {
        let latest = self.latest.borrow();
        Reports {
            stages: latest.stages.clone(),
            epochs: latest.epochs.clone(),
        }
    }

    /// Begins another part of the job: the time goes to it from now on.
    pub(crate) fn begins(&mut self, part: Part) {
        let now = Instant::now();
        let seconds = now.duration_since(self.part_started).as_secs_f64();
        let ended = self.part;
        self.part = part;
        self.part_started = now;
        self.latest.send_modify(|latest| {
            latest.parts.entry(ended).or_default().seconds += seconds
        });
    }

    /// Notes how many tokens the device has room for.
    pub(crate) fn has_room_for(&self, n_tokens: usize) {
        self.latest.send_if_modified(|latest| {
            let before = latest.tokens_at_once;
            latest.tokens_at_once = n_tokens;
            before != n_tokens
        });
    }

    /// An error once somebody wants the training to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.is_cancelled() || self.cannot_end_in_time() {
            return Err(Error::Stopped);
        }
        Ok(())
    }

    /// True when the process is to leave: after an epoch its state is saved.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leave.is_asked()
    }

    /// True when the process is to leave, and before it does there will be
    /// nothing to save.
    fn cannot_end_in_time(&self) -> bool {
        if !self.leave.is_asked() {
            return false;
        }

        !self.is_learning || self.leave.is_too_late_for(self.epoch_left())
    }

    /// How long the epoch will go on, at its speed so far.
    fn epoch_left(&self) -> Duration {
        let latest = self.latest.borrow();
        if latest.step == 0 {
            return Duration::ZERO;
        }

        let n_left = latest.n_steps.saturating_sub(latest.step) as f64;
        let a_step = self.epoch_started.elapsed().as_secs_f64();
        let seconds = n_left * a_step / latest.step as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    pub(crate) fn epoch_begins(&mut self, epoch: &Epoch, n_steps: usize) {
        self.epoch_started = Instant::now();
        self.is_learning = true;
        self.epoch_tokens = 0;
        self.losses.clear();
        let name = epoch.stage.name();
        let stage = if self.is_final_fit {
            format!("{FINAL}{name}")
        } else {
            name.to_owned()
        };
        self.latest.send_modify(|latest| {
            latest.stage = stage;
            latest.epoch = epoch.in_stage;
            latest.n_epochs = epoch.n_in_stage;
            latest.step = 0;
            latest.n_steps = n_steps;
        });
    }

    /// Notes a step's loss; `done` is the share of the whole plan.
    pub(crate) fn step(&mut self, loss: f64, n_tokens: usize, done: f64) {
        self.epoch_tokens += n_tokens;
        self.losses.push(loss);
        let part = self.part;
        let seconds = self.epoch_started.elapsed().as_secs_f64();
        let tokens_per_second = self.epoch_tokens as f64 / seconds.max(1e-9);
        let eta_seconds = self.eta(done);
        self.latest.send_modify(|latest| {
            latest.step += 1;
            latest.parts.entry(part).or_default().n_tokens += n_tokens as f64;
            latest.loss = loss;
            latest.tokens_per_second = tokens_per_second;
            latest.done = done;
            latest.eta_seconds = eta_seconds;
        });
    }

    /// The seconds until the plan is done at the speed so far; 0 while that is
    /// not known.
    fn eta(&self, done: f64) -> f64 {
        let progressed = done - self.done_at_start;
        if progressed <= 0.0 {
            return 0.0;
        }
        let so_far = self.started.elapsed().as_secs_f64();
        so_far / progressed * (1.0 - done)
    }

    /// Begins the fit on all interactions. The job's curves stay those of the
    /// fit that was measured.
    pub(crate) fn final_fit_begins(&mut self) {
        self.begins(Part::Start);
        self.is_final_fit = true;
    }

    /// Notes the epoch's losses under its stage.
    pub(crate) fn epoch_ends(&mut self, epoch: &Epoch) {
        let n = self.losses.len();
        let first_loss = mean(&self.losses[..n.min(WINDOW)]);
        let last_loss = mean(&self.losses[n.saturating_sub(WINDOW)..]);
        let loss = mean(&self.losses);
        let stage = epoch.stage.name();
        let is_final_fit = self.is_final_fit;
        tracing::info!(
            stage,
            epoch = epoch.in_stage,
            loss,
            is_final_fit,
            "epoch finished"
        );
        if is_final_fit {
            return;
        }
        let report = EpochReport {
            stage: stage.to_owned(),
            epoch: epoch.in_stage,
            loss,
            valid_ndcg_100: None,
        };
        let new_stage = StageReport {
            stage: stage.to_owned(),
            first_loss,
            last_loss,
            n_epochs: 1,
        };
        self.latest.send_modify(|latest| {
            latest.epochs.push(report);
            let known =
                latest.stages.iter_mut().find(|known| known.stage == stage);
            match known {
                Some(known) => {
                    known.last_loss = last_loss;
                    known.n_epochs += 1;
                }
                None => latest.stages.push(new_stage),
            }
        });
    }

    /// Notes a validation under the epoch that it follows.
    pub(crate) fn validated(&self, metrics: &RankingMetrics) {
        self.latest.send_modify(|latest| {
            if let Some(epoch) = latest.epochs.last_mut() {
                epoch.valid_ndcg_100 = Some(metrics.ndcg_100);
            }
        });
    }

    /// Begins what follows the last epoch.
    pub(crate) fn evaluation_begins(&self) {
        self.latest.send_modify(|latest| {
            latest.stage = EVALUATION.to_owned();
            latest.epoch = 1;
            latest.n_epochs = 1;
            latest.step = 0;
            latest.n_steps = 0;
        });
    }

    /// Hands a checkpoint over; waits while the one before is still being
    /// stored.
    pub(crate) fn checkpoint(&self, folder: PathBuf) -> Result<(), Error> {
        self.checkpoints
            .blocking_send(folder)
            .map_err(|_| Error::Stopped)
    }
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}
