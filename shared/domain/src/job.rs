//! The job state machine: the only place where a training job's state changes.
//!
//! The coordinator feeds events in and stores what comes out. Every event of a
//! worker carries the epoch of its lease; one from an older lease is
//! [`Refused`], so a worker that lost its lease can change nothing.

/// How often and for how long a job is tried again.
mod budget;
/// Epochs' reports as they are stored.
mod epoch_columns;
/// What happens to a job, and what is refused.
mod event;
/// What a worker says about the work.
mod progress;
/// When and where a job is to run.
mod schedule;
/// Where a job stands, and why an attempt ended early.
mod state;
/// What a job waits for, and its deadline.
mod waits;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ArtifactId, JobId, ModelVersion};
use crate::job::budget::Failed;
use crate::train_spec::TrainSpec;

pub use budget::{Losses, Outage};
pub use event::{EndOfAttempt, Event, Refused};
pub use progress::{EpochReport, Progress, StageReport};
pub use schedule::{Equipment, Needs, Schedule};
pub use state::{Cause, CauseKind, State};
pub use waits::Waits;

/// A worker's claim on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Name of the worker that holds it.
    pub worker: String,
    /// Grows with every lease of the job.
    pub epoch: u64,
    /// When it would end by the clock of whoever wrote it, in milliseconds
    /// since 1970-01-01 UTC. For people: nobody compares it with a clock.
    pub until_ms: i64,
    /// How often it was renewed. A coordinator ends a lease whose number has
    /// stood still for a whole term by the coordinator's own stopwatch.
    #[serde(default)]
    pub n_beats: u64,
}

/// A training job as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The id that requests name it by.
    pub id: JobId,
    /// What it is to do.
    pub spec: TrainSpec,
    /// When and where it is to run.
    #[serde(default, skip_serializing_if = "Schedule::is_default")]
    pub schedule: Schedule,
    /// What it waits for before a worker may take it.
    #[serde(default, skip_serializing_if = "Waits::is_default")]
    pub waits: Waits,
    /// Where the job stands.
    pub state: State,
    /// When it was accepted, in milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// Who works on it, if anybody.
    pub lease: Option<Lease>,
    /// How often it was leased; the epoch of the latest lease.
    pub attempts: u32,
    /// How many attempts failed by what they met themselves.
    pub failures: u32,
    /// What the job waits for, where something that it needs is out of reach.
    #[serde(default)]
    pub outage: Option<Outage>,
    /// Where it lost workers without getting further.
    #[serde(default)]
    pub losses: Option<Losses>,
    /// Not leased before this time (back-off after a failed attempt), by the
    /// clock that also wrote `updated_ms`; see [`Job::pause`].
    pub not_before_ms: i64,
    /// What the worker last said.
    pub progress: Progress,
    /// The checkpoint that the next attempt starts from.
    pub checkpoint: Option<ArtifactId>,
    /// Why the latest attempt ended early.
    pub cause: Option<Cause>,
    /// Ranking metrics of the result.
    pub metrics: BTreeMap<String, f64>,
    /// The model version that came of it.
    pub version: Option<ModelVersion>,
    /// How many events were written so far.
    pub n_events: u64,
}

impl Job {
    /// Makes a job that waits for its first worker.
    pub fn queued(id: JobId, spec: TrainSpec, now_ms: i64) -> Self {
        Self {
            id,
            spec,
            schedule: Schedule::default(),
            waits: Waits::default(),
            state: State::Queued,
            created_ms: now_ms,
            updated_ms: now_ms,
            lease: None,
            attempts: 0,
            failures: 0,
            outage: None,
            losses: None,
            not_before_ms: now_ms,
            progress: Progress::default(),
            checkpoint: None,
            cause: None,
            metrics: BTreeMap::new(),
            version: None,
            n_events: 0,
        }
    }

    /// Tells the epoch that a worker's events must carry.
    pub fn epoch(&self) -> u64 {
        u64::from(self.attempts)
    }

    /// How long a queued job waits before a worker may take it. The two times
    /// were written together, by one clock: their difference is a duration,
    /// whatever that clock said.
    pub fn pause(&self) -> Duration {
        if self.state != State::Queued {
            return Duration::ZERO;
        }

        let pause_ms = self.not_before_ms.saturating_sub(self.updated_ms);
        Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0))
    }

    /// True for the lease that ended the job with this version: a repeated
    /// commit changes nothing.
    pub fn was_committed(&self, epoch: u64, version: &ModelVersion) -> bool {
        self.state == State::Succeeded
            && self.epoch() == epoch
            && self.version.as_ref() == Some(version)
    }

    /// Moves the job on; a refused event leaves it as it was.
    pub fn apply(&mut self, event: Event, now_ms: i64) -> Result<(), Refused> {
        match event {
            Event::Leased { worker, term } => {
                self.lease(worker, until(now_ms, term))?
            }
            Event::Heartbeat {
                epoch,
                progress,
                term,
            } => {
                let lease = self.held(epoch)?;
                lease.until_ms = until(now_ms, term);
                lease.n_beats += 1;
                self.progress = progress;
            }
            Event::Checkpointed { epoch, checkpoint } => {
                self.held(epoch)?;
                self.checkpoint = Some(checkpoint);
                // What was out of reach is not any more.
                self.outage = None;
            }
            Event::AttemptFailed {
                epoch,
                cause,
                patience,
            } => {
                self.held(epoch)?;
                self.attempt_failed(cause, Failed { now_ms, patience });
            }
            Event::Stopped { epoch } => {
                self.held(epoch)?;
                self.end_unfinished();
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
                self.succeed(version, metrics);
            }
            Event::LeaseEnded { seen } => self.lease_ended(&seen, now_ms)?,
            Event::Due => self.is_due(now_ms)?,
            Event::Followed { job } => self.follows(&job)?,
            Event::CannotFollow { job, why } => {
                self.cannot_follow(&job, &why)?
            }
            Event::DeadlinePassed => self.deadline_passed()?,
            Event::CancelRequested => self.cancel()?,
            Event::RetryRequested => self.retry(now_ms)?,
        }

        self.updated_ms = now_ms;
        Ok(())
    }

    fn succeed(
        &mut self,
        version: ModelVersion,
        metrics: BTreeMap<String, f64>,
    ) {
        self.end(State::Succeeded);
        // Early stopping leaves a part undone.
        self.progress.done = 1.0;
        self.progress.eta_seconds = 0.0;
        self.cause = None;
        self.outage = None;
        self.losses = None;
        self.version = Some(version);
        self.metrics = metrics;
    }

    fn lease(&mut self, worker: String, until_ms: i64) -> Result<(), Refused> {
        if self.state != State::Queued {
            return Err(Refused::WrongState(self.state));
        }

        if !self.may_begin() {
            return Err(Refused::NotReady);
        }

        self.attempts += 1;
        self.state = State::Running;
        self.lease = Some(Lease {
            worker,
            epoch: self.epoch(),
            until_ms,
            n_beats: 0,
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

    fn attempt_failed(&mut self, mut cause: Cause, failed: Failed) {
        let pause = self.pause_after(&mut cause, failed);
        self.cause = Some(cause);
        self.next_attempt(pause, failed.now_ms);
    }

    /// Goes back into the queue for the next attempt, after a pause in
    /// milliseconds; ends where there is none.
    fn next_attempt(&mut self, pause: Option<i64>, now_ms: i64) {
        match (self.state, pause) {
            (State::Cancelling, _) => self.end_unfinished(),
            (_, None) => self.end(State::Failed),
            (_, Some(pause)) => {
                self.state = State::Queued;
                self.lease = None;
                self.not_before_ms = now_ms.saturating_add(pause);
            }
        }
    }

    /// An orderly return does not count as an attempt that failed.
    fn release(&mut self, now_ms: i64) {
        if self.state == State::Cancelling {
            return self.end_unfinished();
        }

        self.state = State::Queued;
        self.lease = None;
        self.not_before_ms = now_ms;
    }

    /// Ends a lease, unless it was renewed since it was seen: by a number of
    /// beats, or, by a coordinator of an earlier version, by its time alone.
    fn lease_ended(
        &mut self,
        seen: &Lease,
        now_ms: i64,
    ) -> Result<(), Refused> {
        if *self.held(seen.epoch)? != *seen {
            return Err(Refused::Renewed);
        }

        let (cause, pause) = self.loses(seen);
        self.cause = Some(cause);
        self.next_attempt(pause, now_ms);
        Ok(())
    }

    /// Puts a job that ended without a model back into the queue; it goes on
    /// from its checkpoint.
    fn retry(&mut self, now_ms: i64) -> Result<(), Refused> {
        match self.state {
            State::Failed | State::Cancelled => {}
            State::Queued
            | State::Running
            | State::Cancelling
            | State::Succeeded => {
                return Err(Refused::WrongState(self.state));
            }
        }

        self.begin_anew();
        self.forget_missed_deadline();
        self.state = State::Queued;
        self.not_before_ms = now_ms;
        Ok(())
    }

    fn cancel(&mut self) -> Result<(), Refused> {
        match self.state {
            State::Queued => self.end(State::Cancelled),
            State::Running | State::Cancelling => {
                self.state = State::Cancelling
            }
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
    use crate::ids::DatasetId;

    const TERM: Duration = Duration::from_millis(100);
    const HOUR: Duration = Duration::from_secs(3_600);
    /// The lease as it is now was not renewed.
    fn lease_ended(job: &Job) -> Event {
        let seen = job.lease.clone().expect("it is leased");
        Event::LeaseEnded { seen }
    }

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
            patience: HOUR,
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
            Event::Heartbeat {
                epoch: 1,
                progress: Progress::default(),
                term: TERM,
            },
            5,
        )
        .unwrap();
        job.apply(
            Event::Checkpointed {
                epoch: 1,
                checkpoint: ArtifactId::new("c").unwrap(),
            },
            10,
        )
        .unwrap();
        let mut seen = job.lease.clone().unwrap();
        seen.n_beats -= 1;
        assert_eq!(
            job.apply(Event::LeaseEnded { seen }, 99),
            Err(Refused::Renewed),
            "a heartbeat came in between"
        );
        let mut seen = job.lease.clone().unwrap();
        seen.until_ms -= 1;
        assert_eq!(
            job.apply(Event::LeaseEnded { seen }, 99),
            Err(Refused::Renewed),
            "a coordinator of an earlier version heard one"
        );
        job.apply(lease_ended(&job), 101).unwrap();
        assert_eq!(
            (job.state, job.checkpoint.as_ref().map(ArtifactId::as_str)),
            (State::Queued, Some("c"))
        );
        let first_pause = budget::FIRST_PAUSE_MS as u128;
        assert_eq!(job.pause().as_millis(), first_pause);
    }

    #[test]
    fn a_worker_that_lost_its_lease_can_commit_nothing() {
        let mut job = running();
        job.apply(lease_ended(&job), 101).unwrap();
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
        let version = ModelVersion::new("v").unwrap();
        assert!(
            job.was_committed(2, &version) && !job.was_committed(1, &version)
        );
        assert!(!job.was_committed(2, &ModelVersion::new("w").unwrap()));
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
        job.apply(lease_ended(&job), 101).unwrap();
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
        assert_eq!(job.pause(), Duration::ZERO);
        assert_eq!((job.attempts, job.failures), (1, 0));
    }

    /// Leases the job, says how far it is, and loses its worker.
    fn lose(job: &mut Job, stage: &str, done: f64) {
        let now = job.not_before_ms;
        let worker = "w".to_owned();
        job.apply(Event::Leased { worker, term: TERM }, now)
            .unwrap();
        let progress = Progress {
            stage: stage.to_owned(),
            done,
            ..Progress::default()
        };
        let epoch = job.epoch();
        let beat = Event::Heartbeat {
            epoch,
            progress,
            term: TERM,
        };
        job.apply(beat, now + 1).unwrap();
        job.apply(lease_ended(job), now + 102).unwrap();
    }

    #[test]
    fn a_job_that_ends_worker_after_worker_in_one_stage_is_the_cause_itself() {
        let mut job = job();
        lose(&mut job, "finetuning", 0.5);
        assert_eq!(job.cause.as_ref().unwrap().kind, CauseKind::WorkerLost);
        lose(&mut job, "finetuning", 0.5);
        assert_eq!(job.state, State::Failed);
        let cause = job.cause.unwrap();
        assert_eq!(cause.kind, CauseKind::WorkerCrashed);
        assert!(cause.message.contains("finetuning"), "{}", cause.message);
    }

    #[test]
    fn a_lease_that_nobody_ever_renewed_counts_in_no_stage() {
        let mut job = job();
        lose(&mut job, "finetuning", 0.5);
        let now = job.not_before_ms;
        let worker = "w".to_owned();
        job.apply(Event::Leased { worker, term: TERM }, now)
            .unwrap();
        job.apply(lease_ended(&job), now + 102).unwrap();
        assert_eq!(job.state, State::Queued, "its answer may have been lost");
        lose(&mut job, "finetuning", 0.5);
        assert_eq!(job.state, State::Failed);
    }

    #[test]
    fn lost_workers_cost_nothing_while_the_job_gets_further() {
        let mut job = job();
        for n in 1..20 {
            lose(&mut job, "finetuning", f64::from(n) / 20.0);
            assert_eq!((job.state, job.failures), (State::Queued, 0));
        }
        // A new checkpoint is further, too.
        job.checkpoint = Some(ArtifactId::new("c").unwrap());
        lose(&mut job, "finetuning", 0.5);
        assert_eq!(job.state, State::Queued);
        // Other stages, but never further: not for ever.
        lose(&mut job, "", 0.0);
        assert_eq!(job.state, State::Queued);
        lose(&mut job, "finetuning", 0.4);
        assert_eq!(job.state, State::Failed);
    }

    /// Leases the job when it is due; the attempt meets something out of reach.
    fn meet_outage(job: &mut Job) -> i64 {
        let now = job.not_before_ms;
        let worker = "w".to_owned();
        job.apply(Event::Leased { worker, term: TERM }, now)
            .unwrap();
        let epoch = job.epoch();
        job.apply(failed(CauseKind::Unavailable, epoch), now)
            .unwrap();
        now
    }

    #[test]
    fn what_is_out_of_reach_has_an_hour_and_costs_no_attempt() {
        let mut job = job();
        let mut pauses = Vec::new();
        let mut now = 0;
        while job.state != State::Failed {
            now = meet_outage(&mut job);
            pauses.push((job.not_before_ms - now) / 1_000);
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 64, 120]);
        assert_eq!((now, job.failures), (3_600_000, 0));
        let outage = job.outage.as_ref().unwrap();
        assert_eq!((outage.since_ms, outage.until_ms), (0, 3_600_000));
        let message = &job.cause.as_ref().unwrap().message;
        assert!(message.contains("waited for 3600 s"), "{message}");

        job.apply(Event::RetryRequested, now).unwrap();
        assert_eq!((job.state, job.pause()), (State::Queued, Duration::ZERO));
        assert_eq!((&job.outage, &job.cause), (&None, &None));
        meet_outage(&mut job);
        assert_eq!(job.state, State::Queued);
    }

    #[test]
    fn a_clock_that_jumps_does_not_use_up_an_outages_time() {
        let mut job = job();
        meet_outage(&mut job);
        job.not_before_ms += 600_000;
        meet_outage(&mut job);
        let spent_ms = job.outage.as_ref().unwrap().spent_ms;
        assert!(spent_ms <= 301_000, "{spent_ms}");
        job.not_before_ms -= 600_000;
        meet_outage(&mut job);
        assert_eq!(job.outage.as_ref().unwrap().spent_ms, spent_ms);
    }

    #[test]
    fn a_stored_checkpoint_ends_an_outage() {
        let mut job = job();
        meet_outage(&mut job);
        let now = job.not_before_ms;
        let worker = "w".to_owned();
        job.apply(Event::Leased { worker, term: TERM }, now)
            .unwrap();
        let checkpoint = ArtifactId::new("c").unwrap();
        let epoch = job.epoch();
        job.apply(Event::Checkpointed { epoch, checkpoint }, now)
            .unwrap();
        assert_eq!(job.outage, None);
    }

    #[test]
    fn only_a_job_that_ended_without_a_model_is_tried_again() {
        let mut job = running();
        let refused = Err(Refused::WrongState(State::Running));
        assert_eq!(job.apply(Event::RetryRequested, 1), refused);
        job.checkpoint = Some(ArtifactId::new("c").unwrap());
        job.apply(failed(CauseKind::BadData, 1), 1).unwrap();
        job.apply(Event::RetryRequested, 2).unwrap();
        let worker = "w".to_owned();
        job.apply(Event::Leased { worker, term: TERM }, 2).unwrap();
        assert_eq!(job.epoch(), 2, "the old lease stays over");
        assert!(job.checkpoint.is_some());
        job.apply(committed(2), 3).unwrap();
        let refused = Err(Refused::WrongState(State::Succeeded));
        assert_eq!(job.apply(Event::RetryRequested, 4), refused);
    }
}
