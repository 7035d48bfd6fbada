//! A job's events as they are stored: what changed, not the whole job. What
//! an earlier program wrote, with the whole job in each, is read too.

use domain::{Cause, Job, JobId, Lease, Progress, State};
use serde::{Deserialize, Serialize};

use crate::record::{EVENTS_FORMAT, encode_as};
use crate::store::Entry;

/// A numbered change of a job, with the job as it was then.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// Counts the job's events, from 1 and without gaps.
    pub number: u64,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// What happened, for people.
    pub message: String,
    /// The job as it was after the event, as far as that is known: its state,
    /// attempt, worker, cause and how far it was.
    pub job: Job,
}

/// An event's record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    pub(super) number: u64,
    pub(super) at_ms: i64,
    message: String,
    /// What changed; absent in what an earlier program wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<After>,
    /// The whole job, as an earlier program wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<Box<Job>>,
}

/// What tells the job after an event from the job as it is now.
#[derive(Debug, Serialize, Deserialize)]
struct After {
    state: State,
    attempts: u32,
    /// Who took the job, where the event is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    /// Why an attempt ended, where the event is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stage: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    epoch: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    n_epochs: i64,
    /// Thousandths of the job that are done.
    #[serde(default, skip_serializing_if = "is_zero")]
    done: i64,
    /// How many epochs had been reported.
    #[serde(default, skip_serializing_if = "is_zero")]
    n_reports: i64,
}

/// What mostly counts up from one event to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) number: u64,
    pub(super) at_ms: i64,
    pub(super) epoch: i64,
    pub(super) done: i64,
    pub(super) n_reports: i64,
}

impl Counts {
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            number: self.number.wrapping_sub(other.number),
            at_ms: self.at_ms.wrapping_sub(other.at_ms),
            epoch: self.epoch.wrapping_sub(other.epoch),
            done: self.done.wrapping_sub(other.done),
            n_reports: self.n_reports.wrapping_sub(other.n_reports),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            number: self.number.wrapping_add(other.number),
            at_ms: self.at_ms.wrapping_add(other.at_ms),
            epoch: self.epoch.wrapping_add(other.epoch),
            done: self.done.wrapping_add(other.done),
            n_reports: self.n_reports.wrapping_add(other.n_reports),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl After {
    fn new(before: Option<&Job>, after: &Job) -> Self {
        let worker_then = before.and_then(worker);
        let cause_then = before.and_then(|before| before.cause.as_ref());
        let progress = &after.progress;
        let changed_worker = worker(after).filter(|worker| {
            Some(*worker) != worker_then
                || before.is_some_and(|before| before.attempts < after.attempts)
        });
        Self {
            state: after.state,
            attempts: after.attempts,
            worker: changed_worker.map(str::to_owned),
            cause: after
                .cause
                .clone()
                .filter(|cause| Some(cause) != cause_then),
            stage: progress.stage.clone(),
            epoch: progress.epoch as i64,
            n_epochs: progress.n_epochs as i64,
            done: (progress.done * 1_000.0) as i64,
            n_reports: progress.epochs.len() as i64,
        }
    }

    /// The job as it was, put together from the job as it is now.
    fn job(self, now: &Job) -> Job {
        let mut job = now.clone();
        let attempt_goes_on = self.attempts == now.attempts;
        job.state = self.state;
        job.attempts = self.attempts;
        job.cause = self.cause;
        job.lease = match self.worker {
            Some(worker) => Some(Lease {
                worker,
                epoch: u64::from(self.attempts),
                until_ms: 0,
                n_beats: 0,
            }),
            None => job.lease.filter(|_| attempt_goes_on),
        };
        // What is not written down with each event is as it is now, or left
        // out.
        job.outage = None;
        job.losses = None;
        job.checkpoint = None;
        job.metrics.clear();
        job.version = None;
        job.progress = Progress {
            stage: self.stage,
            epoch: usize::try_from(self.epoch).unwrap_or(0),
            n_epochs: usize::try_from(self.n_epochs).unwrap_or(0),
            done: self.done as f64 / 1_000.0,
            device: now.progress.device.clone(),
            ..Progress::default()
        };
        let mut reports = now.progress.epochs.clone();
        reports.truncate(usize::try_from(self.n_reports).unwrap_or(0));
        job.progress.epochs = reports;
        job
    }
}

fn worker(job: &Job) -> Option<&str> {
    job.lease.as_ref().map(|lease| lease.worker.as_str())
}

impl StoredEvent {
    pub(super) fn counts(&self) -> Counts {
        let after = self.after.as_ref();
        Counts {
            number: self.number,
            at_ms: self.at_ms,
            epoch: after.map_or(0, |after| after.epoch),
            done: after.map_or(0, |after| after.done),
            n_reports: after.map_or(0, |after| after.n_reports),
        }
    }

    /// Sets what [`StoredEvent::counts`] tells, where there is room for it.
    pub(super) fn set_counts(&mut self, counts: Counts) {
        self.number = counts.number;
        self.at_ms = counts.at_ms;
        if let Some(after) = &mut self.after {
            after.epoch = counts.epoch;
            after.done = counts.done;
            after.n_reports = counts.n_reports;
        }
    }

    /// Puts together what an event says, from the job as it is now.
    pub(super) fn event(self, now: &Job) -> JobEvent {
        let is_latest = self.number == now.n_events;
        let job = match (self.job, self.after) {
            (Some(job), _) => *job,
            (None, Some(after)) if !is_latest => Job {
                n_events: self.number,
                updated_ms: self.at_ms,
                ..after.job(now)
            },
            (None, _) => now.clone(),
        };
        JobEvent {
            number: self.number,
            at_ms: self.at_ms,
            message: self.message,
            job,
        }
    }
}

/// The record of a job's latest event; `before` is the job before it.
pub(super) fn entry(before: Option<&Job>, job: &Job, message: String) -> Entry {
    let event = StoredEvent {
        number: job.n_events,
        at_ms: job.updated_ms,
        message,
        after: Some(After::new(before, job)),
        job: None,
    };
    stored(&job.id, &event)
}

/// An event in a record of its own.
pub(super) fn stored(job: &JobId, event: &StoredEvent) -> Entry {
    let record = encode_as(EVENTS_FORMAT, event);
    Entry::new(&space(job), &key(event.number), Some(record))
}

/// The space of a job's events.
pub(super) fn space(id: &JobId) -> String {
    format!("job-events:{id}")
}

/// The key of an event; keys sort as numbers do.
pub(super) fn key(number: u64) -> String {
    format!("{number:020}")
}
