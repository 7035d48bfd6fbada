//! What a job waits for before a worker may take it, and its deadline.

use serde::{Deserialize, Serialize};

use crate::ids::JobId;
use crate::job::Job;
use crate::job::event::Refused;
use crate::job::schedule::Schedule;
use crate::job::state::{Cause, CauseKind, State};

/// What a queued job waits for, and whether it is late.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Waits {
    /// Jobs that must succeed first and have not yet.
    pub jobs: Vec<JobId>,
    /// The moment that it waits for, in milliseconds since 1970-01-01 UTC;
    /// `None` once that has come.
    pub until_ms: Option<i64>,
    /// Its deadline has passed.
    pub is_late: bool,
}

impl Waits {
    /// True for what waits for nothing and is not late.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Job {
    /// Gives a new job its schedule; `awaited` are those of the jobs that it
    /// follows which have not succeeded yet.
    #[must_use]
    pub fn scheduled(self, schedule: Schedule, awaited: Vec<JobId>) -> Self {
        let waits = Waits {
            jobs: awaited,
            until_ms: schedule.start_after_ms,
            is_late: false,
        };
        Self {
            schedule,
            waits,
            ..self
        }
    }

    /// True where neither another job nor a moment keeps it back. It may pause
    /// all the same ([`Job::pause`]).
    pub fn may_begin(&self) -> bool {
        self.waits.jobs.is_empty() && self.waits.until_ms.is_none()
    }

    /// The deadline that somebody must keep an eye on.
    pub fn open_deadline_ms(&self) -> Option<i64> {
        let is_open = match self.state {
            State::Queued | State::Running => !self.waits.is_late,
            State::Cancelling
            | State::Succeeded
            | State::Failed
            | State::Cancelled => false,
        };
        self.schedule.deadline_ms.filter(|_| is_open)
    }

    /// Its moment has come, or its pause is over.
    pub(super) fn is_due(&mut self, now_ms: i64) -> Result<(), Refused> {
        let waits = self.waits.until_ms.is_some() || !self.pause().is_zero();
        let has_all = self.waits.jobs.is_empty();
        if self.state != State::Queued || !waits || !has_all {
            return Err(Refused::NotAwaited);
        }

        self.waits.until_ms = None;
        self.not_before_ms = now_ms;
        Ok(())
    }

    /// A job that it follows has succeeded.
    pub(super) fn follows(&mut self, before: &JobId) -> Result<(), Refused> {
        self.require_waiting_for(before)?;
        self.waits.jobs.retain(|job| job != before);
        Ok(())
    }

    /// A job that it follows has ended without a model, or is gone.
    pub(super) fn cannot_follow(
        &mut self,
        before: &JobId,
        why: &str,
    ) -> Result<(), Refused> {
        self.require_waiting_for(before)?;
        self.fail(
            CauseKind::DependencyFailed,
            format!(
                "jobs/{before}, which it was to follow, {why}; \
             `cllm4rec train retry` both, that one first"
            ),
        );
        Ok(())
    }

    fn require_waiting_for(&self, before: &JobId) -> Result<(), Refused> {
        let waits = self.waits.jobs.contains(before);
        if self.state == State::Queued && waits {
            return Ok(());
        }

        Err(Refused::NotAwaited)
    }

    /// A queued job fails; a running one is told to stop, and fails then.
    pub(super) fn deadline_passed(&mut self) -> Result<(), Refused> {
        if self.open_deadline_ms().is_none() {
            return Err(Refused::NotAwaited);
        }

        self.waits.is_late = true;
        match self.state {
            State::Running => self.state = State::Cancelling,
            State::Queued
            | State::Cancelling
            | State::Succeeded
            | State::Failed
            | State::Cancelled => self.end_unfinished(),
        }
        Ok(())
    }

    /// Ends a job that was told to stop: cancelled, or failed where it is late.
    pub(super) fn end_unfinished(&mut self) {
        if !self.waits.is_late {
            return self.end(State::Cancelled);
        }

        self.fail(CauseKind::DeadlinePassed, format!(
            "its deadline passed when {:.0} % of it was done; `cllm4rec train retry` \
             goes on from the last checkpoint, without a deadline",
            100.0 * self.progress.done
        ));
    }

    fn fail(&mut self, kind: CauseKind, message: String) {
        self.cause = Some(Cause { kind, message });
        self.end(State::Failed);
    }

    /// Forgets a deadline that was missed: whoever tries again knows of it.
    pub(super) fn forget_missed_deadline(&mut self) {
        if self.waits.is_late {
            self.waits.is_late = false;
            self.schedule.deadline_ms = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DatasetId;
    use crate::job::Event;
    use crate::train_spec::TrainSpec;
    use std::time::Duration;

    fn id(name: &str) -> JobId {
        JobId::new(name).unwrap()
    }

    fn job(schedule: Schedule, awaited: &[&str]) -> Job {
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let awaited = awaited.iter().map(|name| id(name)).collect();
        Job::queued(id("j"), spec, 0).scheduled(schedule, awaited)
    }

    fn leased() -> Event {
        Event::Leased {
            worker: "w".to_owned(),
            term: Duration::from_secs(1),
        }
    }

    fn until(deadline_ms: i64) -> Schedule {
        Schedule {
            deadline_ms: Some(deadline_ms),
            ..Schedule::default()
        }
    }

    #[test]
    fn a_job_begins_when_those_before_it_succeeded_and_its_moment_has_come() {
        let later = Schedule {
            start_after_ms: Some(9),
            ..Schedule::default()
        };
        let mut job = job(later, &["a", "b"]);
        assert_eq!(job.apply(leased(), 1), Err(Refused::NotReady));
        assert_eq!(job.apply(Event::Due, 9), Err(Refused::NotAwaited));
        for name in ["a", "b"] {
            assert!(!job.may_begin());
            let followed = Event::Followed { job: id(name) };
            job.apply(followed.clone(), 2).unwrap();
            assert_eq!(job.apply(followed, 2), Err(Refused::NotAwaited));
        }
        assert_eq!(job.apply(leased(), 3), Err(Refused::NotReady));
        job.apply(Event::Due, 9).unwrap();
        assert_eq!(job.apply(Event::Due, 9), Err(Refused::NotAwaited));
        job.apply(leased(), 10).unwrap();
    }

    #[test]
    fn a_job_fails_with_the_one_that_it_follows() {
        let mut job = job(Schedule::default(), &["a"]);
        let why = "has failed".to_owned();
        let failed = Event::CannotFollow { job: id("a"), why };
        job.apply(failed, 1).unwrap();
        assert_eq!(job.state, State::Failed);
        let cause = job.cause.clone().unwrap();
        assert_eq!(cause.kind, CauseKind::DependencyFailed);
        assert!(cause.message.contains("jobs/a"), "{}", cause.message);

        job.apply(Event::RetryRequested, 2).unwrap();
        assert!(!job.may_begin(), "it waits again");
    }

    #[test]
    fn a_deadline_fails_a_queued_job_at_once_and_a_running_one_when_it_stops() {
        let mut queued = job(until(9), &[]);
        assert_eq!(queued.open_deadline_ms(), Some(9));
        queued.apply(Event::DeadlinePassed, 9).unwrap();
        assert_eq!(queued.state, State::Failed);
        assert_eq!(queued.open_deadline_ms(), None);

        let mut running = job(until(9), &[]);
        running.apply(leased(), 1).unwrap();
        running.apply(Event::DeadlinePassed, 9).unwrap();
        assert_eq!(running.state, State::Cancelling);
        let again = running.apply(Event::DeadlinePassed, 9);
        assert_eq!(again, Err(Refused::NotAwaited));
        running.apply(Event::Stopped { epoch: 1 }, 10).unwrap();
        assert_eq!(running.state, State::Failed);
        let cause = running.cause.as_ref().unwrap();
        assert_eq!(cause.kind, CauseKind::DeadlinePassed);

        running.apply(Event::RetryRequested, 11).unwrap();
        assert_eq!(running.state, State::Queued);
        assert_eq!(running.open_deadline_ms(), None, "it had its chance");
        running.apply(leased(), 12).unwrap();
    }

    #[test]
    fn a_late_job_fails_however_its_worker_leaves() {
        for end in ["released", "failed", "lost"] {
            let mut job = job(until(9), &[]);
            job.apply(leased(), 1).unwrap();
            job.apply(Event::DeadlinePassed, 9).unwrap();
            let seen = job.lease.clone().unwrap();
            let cause = Cause {
                kind: CauseKind::Internal,
                message: String::new(),
            };
            let event = match end {
                "released" => Event::Released { epoch: 1 },
                "failed" => Event::AttemptFailed {
                    epoch: 1,
                    cause,
                    patience: Duration::ZERO,
                },
                _ => Event::LeaseEnded { seen },
            };
            job.apply(event, 10).unwrap();
            assert_eq!(job.state, State::Failed, "{end}");
            let kind = job.cause.unwrap().kind;
            assert_eq!(kind, CauseKind::DeadlinePassed, "{end}");
        }
    }
}
