//! The job state machine: the only place where a training job's state changes.
//!
//! The coordinator feeds events in and stores what comes out. Every event of a worker carries the
//! epoch of its lease; one from an older lease is [`Refused`], so a worker that lost its lease can
//! change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{JobId, ModelVersion, Part, Spent, TrainSpec};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for a worker.
    Queued,
    /// A worker holds a lease on it.
    Running,
    /// A worker has been told to stop.
    Cancelling,
    /// A model version was published.
    Succeeded,
    /// It ended for the reason in `cause`.
    Failed,
    /// It ended because somebody asked for that.
    Cancelled,
}

impl State {
    /// True when nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Why an attempt ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The worker stopped sending heartbeats.
    WorkerLost,
    /// The data set cannot be trained on.
    BadData,
    /// The backbone is missing, incomplete or of a wrong shape.
    BadBackbone,
    /// A loss was not a finite number.
    Diverged,
    /// The device has no memory left.
    OutOfMemory,
    /// Storage or something else inside failed.
    Internal,
}

impl CauseKind {
    /// A repeat on the same input would end the same way for some causes; those are final at once.
    fn is_worth_a_retry(self) -> bool {
        match self {
            Self::WorkerLost | Self::OutOfMemory | Self::Internal => true,
            Self::BadData | Self::BadBackbone | Self::Diverged => false,
        }
    }
}

/// Why an attempt ended early, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For programs.
    pub kind: CauseKind,
    /// What, where, and how to fix it.
    pub message: String,
}

/// A worker's claim on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: String,
    /// Grows with every lease of the job.
    pub epoch: u64,
    /// When it ends unless a heartbeat renews it, in milliseconds since 1970-01-01 UTC.
    pub until_ms: i64,
}

/// What a worker last said about the work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Name of the stage: `warmup`, `content`, `collaborative`, `finetuning`, `evaluation`.
    pub stage: String,
    /// Epoch within the stage, from 1.
    pub epoch: usize,
    /// Epochs of the stage.
    pub n_epochs: usize,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// Steps of the epoch.
    pub n_steps: usize,
    /// Cross-entropy of the latest step, without regularisers: comparable between epochs.
    pub loss: f64,
    /// Real (unpadded) tokens a second.
    pub tokens_per_second: f64,
    /// Share of the whole job that is done, 0 to 1.
    pub done: f64,
    /// Estimated seconds until the end; 0 when unknown.
    pub eta_seconds: f64,
    /// What computes.
    pub device: String,
    /// First and latest mean loss of the stages so far.
    pub stages: Vec<StageReport>,
    /// The epochs so far.
    pub epochs: Vec<EpochReport>,
    /// What this attempt's time went to.
    pub parts: BTreeMap<Part, Spent>,
    /// Most tokens that go through the backbone at once; halved when the device's memory is full. 0
    /// when unknown.
    pub tokens_at_once: usize,
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the stage.
    pub stage: String,
    /// Mean cross-entropy of its first ten steps.
    pub first_loss: f64,
    /// Mean cross-entropy of its latest ten steps.
    pub last_loss: f64,
    /// Epochs so far.
    pub n_epochs: usize,
}

/// How an epoch went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Name of the stage.
    pub stage: String,
    /// Within the stage, from 1.
    pub epoch: usize,
    /// Mean cross-entropy of its steps.
    pub loss: f64,
    /// NDCG@100 on validation, where it was measured after the epoch.
    pub valid_ndcg_100: Option<f64>,
}

/// A training job as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it is to do.
    pub spec: TrainSpec,
    /// Where it stands.
    pub state: State,
    /// When it was accepted, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// How often it was leased; the epoch of the latest lease.
    pub attempts: u32,
    /// How many attempts failed; an orderly return is none.
    pub failures: u32,
    /// Not leased before this time (back-off after a failed attempt).
    pub not_before_ms: i64,
    /// What the worker last said.
    pub progress: Progress,
    /// Where the next attempt starts from.
    pub checkpoint: Option<String>,
    /// Why the latest attempt ended early.
    pub cause: Option<Cause>,
    /// Ranking metrics of the result.
    pub metrics: BTreeMap<String, f64>,
    /// The result.
    pub version: Option<ModelVersion>,
    /// Events written so far.
    pub n_events: u64,
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker takes it.
    Leased {
        /// Who.
        worker: String,
        /// For how long, without a heartbeat.
        term: Duration,
    },
    /// A worker is alive and says how far it is.
    Heartbeat {
        /// Of the lease.
        epoch: u64,
        /// How far.
        progress: Progress,
        /// The lease's new length.
        term: Duration,
    },
    /// A worker saved a checkpoint.
    Checkpointed {
        /// Of the lease.
        epoch: u64,
        /// Where it is.
        location: String,
    },
    /// A worker gives up.
    AttemptFailed {
        /// Of the lease.
        epoch: u64,
        /// Why.
        cause: Cause,
    },
    /// A worker stopped because it was told to.
    Stopped {
        /// Of the lease.
        epoch: u64,
    },
    /// A worker leaves in good order (its process is shutting down); the job goes back into the
    /// queue.
    Released {
        /// Of the lease.
        epoch: u64,
    },
    /// A worker's result was verified and published.
    Committed {
        /// Of the lease.
        epoch: u64,
        /// The result.
        version: ModelVersion,
        /// Its metrics.
        metrics: BTreeMap<String, f64>,
    },
    /// Nobody renewed the lease in time.
    LeaseEnded,
    /// Somebody wants it to stop.
    CancelRequested,
}

/// An event that does not fit the job's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The worker's lease is not the current one.
    #[error("lease epoch {given} is not current (the job is {state:?}, its epoch is {current})")]
    StaleLease {
        /// What the worker holds.
        given: u64,
        /// What it would have to hold.
        current: u64,
        /// Where the job stands.
        state: State,
    },
    /// The job is not in a state for this.
    #[error("the job is {0:?}")]
    WrongState(State),
}

/// First pause after a failed attempt; doubles with each further one.
const RETRY_PAUSE_MS: i64 = 1_000;

impl Job {
    /// A job that waits for its first worker.
    pub fn queued(id: JobId, spec: TrainSpec, now_ms: i64) -> Self {
        Self {
            id,
            spec,
            state: State::Queued,
            created_ms: now_ms,
            updated_ms: now_ms,
            lease: None,
            attempts: 0,
            failures: 0,
            not_before_ms: now_ms,
            progress: Progress::default(),
            checkpoint: None,
            cause: None,
            metrics: BTreeMap::new(),
            version: None,
            n_events: 0,
        }
    }

    /// The epoch that a worker's events must carry.
    pub fn epoch(&self) -> u64 {
        u64::from(self.attempts)
    }

    /// True when a worker may take the job now.
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.state == State::Queued && self.not_before_ms <= now_ms
    }

    /// True when the lease has run out.
    pub fn lease_has_ended(&self, now_ms: i64) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.until_ms < now_ms)
    }

    /// Moves the job on. A refused event leaves it as it was.
    pub fn apply(&mut self, event: Event, now_ms: i64) -> Result<(), Refused> {
        match event {
            Event::Leased { worker, term } => self.lease(worker, until(now_ms, term))?,
            Event::Heartbeat {
                epoch,
                progress,
                term,
            } => {
                self.held(epoch)?.until_ms = until(now_ms, term);
                self.progress = progress;
            }
            Event::Checkpointed { epoch, location } => {
                self.held(epoch)?;
                self.checkpoint = Some(location);
            }
            Event::AttemptFailed { epoch, cause } => {
                self.held(epoch)?;
                self.attempt_failed(cause, now_ms);
            }
            Event::Stopped { epoch } => {
                self.held(epoch)?;
                self.end(State::Cancelled);
            }
            Event::Released { epoch } => {
                self.held(epoch)?;
                self.release(now_ms);
            }
            Event::Committed {
                epoch,
                version,
                metrics,
            } => {
                self.held(epoch)?;
                self.end(State::Succeeded);
                (self.progress.done, self.progress.eta_seconds) = (1.0, 0.0); // early stopping leaves a part undone
                self.cause = None;
                self.version = Some(version);
                self.metrics = metrics;
            }
            Event::LeaseEnded => self.lease_ended(now_ms)?,
            Event::CancelRequested => self.cancel()?,
        }
        self.updated_ms = now_ms;
        Ok(())
    }

    fn lease(&mut self, worker: String, until_ms: i64) -> Result<(), Refused> {
        if self.state != State::Queued {
            return Err(Refused::WrongState(self.state));
        }
        self.attempts += 1;
        self.state = State::Running;
        self.lease = Some(Lease {
            worker,
            epoch: self.epoch(),
            until_ms,
        });
        Ok(())
    }

    /// The lease, if the caller holds it.
    fn held(&mut self, epoch: u64) -> Result<&mut Lease, Refused> {
        let refused = Refused::StaleLease {
            given: epoch,
            current: self.epoch(),
            state: self.state,
        };
        self.lease
            .as_mut()
            .filter(|lease| lease.epoch == epoch)
            .ok_or(refused)
    }

    /// Decides between another attempt and the end.
    fn attempt_failed(&mut self, cause: Cause, now_ms: i64) {
        self.failures += 1;
        let again = cause.kind.is_worth_a_retry() && self.failures < self.spec.max_attempts;
        self.cause = Some(cause);
        match (self.state, again) {
            (State::Cancelling, _) => self.end(State::Cancelled),
            (_, false) => self.end(State::Failed),
            (_, true) => {
                self.state = State::Queued;
                self.lease = None;
                self.not_before_ms = now_ms + (RETRY_PAUSE_MS << (self.failures - 1).min(6));
            }
        }
    }

    /// An orderly return does not count as an attempt that failed.
    fn release(&mut self, now_ms: i64) {
        if self.state == State::Cancelling {
            return self.end(State::Cancelled);
        }
        self.state = State::Queued;
        self.lease = None;
        self.not_before_ms = now_ms;
    }

    fn lease_ended(&mut self, now_ms: i64) -> Result<(), Refused> {
        let Some(lease) = self.lease.as_ref().filter(|_| self.lease_has_ended(now_ms)) else {
            return Err(Refused::WrongState(self.state));
        };
        let message = format!(
            "worker {} stopped sending heartbeats; see its log",
            lease.worker
        );
        self.attempt_failed(
            Cause {
                kind: CauseKind::WorkerLost,
                message,
            },
            now_ms,
        );
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Refused> {
        match self.state {
            State::Queued => self.end(State::Cancelled),
            State::Running | State::Cancelling => self.state = State::Cancelling,
            State::Succeeded | State::Failed | State::Cancelled => {
                return Err(Refused::WrongState(self.state));
            }
        }
        Ok(())
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.lease = None;
    }
}

fn until(now_ms: i64, term: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(term.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatasetId;

    const TERM: Duration = Duration::from_millis(100);

    fn job() -> Job {
        Job::queued(
            JobId::new("j").unwrap(),
            TrainSpec::new(DatasetId::new("d").unwrap()),
            0,
        )
    }

    fn running() -> Job {
        let mut job = job();
        job.apply(
            Event::Leased {
                worker: "w1".into(),
                term: TERM,
            },
            0,
        )
        .unwrap();
        job
    }

    fn failed(kind: CauseKind, epoch: u64) -> Event {
        Event::AttemptFailed {
            epoch,
            cause: Cause {
                kind,
                message: String::new(),
            },
        }
    }

    fn committed(epoch: u64) -> Event {
        let version = ModelVersion::new("v").unwrap();
        Event::Committed {
            epoch,
            version,
            metrics: BTreeMap::new(),
        }
    }

    #[test]
    fn a_lost_worker_means_another_attempt_from_the_checkpoint() {
        let mut job = running();
        job.apply(
            Event::Checkpointed {
                epoch: 1,
                location: "c".into(),
            },
            10,
        )
        .unwrap();
        assert_eq!(
            job.apply(Event::LeaseEnded, 100),
            Err(Refused::WrongState(State::Running))
        );
        job.apply(Event::LeaseEnded, 101).unwrap();
        assert_eq!(
            (job.state, job.checkpoint.as_deref()),
            (State::Queued, Some("c"))
        );
        assert!(!job.is_due(101) && job.is_due(101 + RETRY_PAUSE_MS));
    }

    #[test]
    fn a_worker_that_lost_its_lease_can_commit_nothing() {
        let mut job = running();
        job.apply(Event::LeaseEnded, 101).unwrap();
        assert!(matches!(
            job.apply(committed(1), 102),
            Err(Refused::StaleLease { given: 1, .. })
        ));
        job.apply(
            Event::Leased {
                worker: "w2".into(),
                term: TERM,
            },
            2_000,
        )
        .unwrap();
        assert!(matches!(
            job.apply(committed(1), 2_001),
            Err(Refused::StaleLease { current: 2, .. })
        ));
        job.apply(committed(2), 2_002).unwrap();
        assert_eq!(job.state, State::Succeeded);
        assert!(
            job.apply(committed(2), 2_003).is_err(),
            "a second commit is refused"
        );
    }

    #[test]
    fn bad_data_is_final_and_attempts_are_bounded() {
        let mut job = running();
        job.apply(failed(CauseKind::BadData, 1), 1).unwrap();
        assert_eq!(job.state, State::Failed);

        let mut job = running();
        for attempt in 1..=3 {
            job.apply(failed(CauseKind::Internal, attempt), 1).unwrap();
            if attempt < 3 {
                job.apply(
                    Event::Leased {
                        worker: "w".into(),
                        term: TERM,
                    },
                    2,
                )
                .unwrap();
            }
        }
        assert_eq!(job.state, State::Failed);
    }

    #[test]
    fn cancel_ends_a_queued_job_at_once_and_a_running_one_through_its_worker() {
        let mut job = job();
        job.apply(Event::CancelRequested, 1).unwrap();
        assert_eq!(job.state, State::Cancelled);
        assert_eq!(
            job.apply(Event::CancelRequested, 2),
            Err(Refused::WrongState(State::Cancelled))
        );

        let mut job = running();
        job.apply(Event::CancelRequested, 1).unwrap();
        assert_eq!(job.state, State::Cancelling);
        job.apply(Event::Stopped { epoch: 1 }, 2).unwrap();
        assert_eq!(job.state, State::Cancelled);

        let mut job = running();
        job.apply(Event::CancelRequested, 1).unwrap();
        job.apply(Event::LeaseEnded, 101).unwrap();
        assert_eq!(
            job.state,
            State::Cancelled,
            "a lost worker cannot keep a cancelled job alive"
        );
    }

    #[test]
    fn an_orderly_return_costs_no_attempt() {
        let mut job = running();
        job.apply(Event::Released { epoch: 1 }, 1).unwrap();
        assert!(job.is_due(1));
        assert_eq!((job.attempts, job.failures), (1, 0));
    }
}
