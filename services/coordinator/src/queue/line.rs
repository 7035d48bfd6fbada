//! The workers that ask for work, in the order in which they came, and the jobs
//! that pause. In memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Equipment, Job, JobId, QueueName, State};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::error::Error;
use crate::queue::assign::Share;
use crate::train_job::{LOOK_AGAIN, Leased};

/// Nobody waits: the next look is when somebody does.
const FOR_LONG: Duration = Duration::from_secs(3_600);

/// The workers that ask for work, and the jobs that pause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    line: Arc<Mutex<Line>>,
    /// There is a worker more in the line, or a job more in the queue.
    pub(super) woken: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Line {
    askers: VecDeque<Asker>,
    /// When the jobs that pause are due, by this coordinator's stopwatch.
    pauses: BTreeMap<JobId, Pause>,
    /// How much of its share each queue has had.
    passes: BTreeMap<QueueName, f64>,
    is_closed: bool,
}

/// A worker in the line.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) worker: String,
    pub(super) equipment: Equipment,
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Result<Option<Leased>, Error>>,
}

/// A job that waits a while after a failed attempt.
#[derive(Debug)]
struct Pause {
    /// The pause follows this many attempts.
    attempts: u32,
    due: Instant,
}

impl Queue {
    /// Looks whether a worker in the line can have a job.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Notes how a job has changed: it may be given out now, or after a pause.
    pub(crate) fn note(&self, job: &Job) {
        if job.state != State::Queued {
            return;
        }

        let pause = job.pause();
        let mut line = self.line();
        if pause.is_zero() {
            line.pauses.remove(&job.id);
        } else {
            let is_known = line
                .pauses
                .get(&job.id)
                .is_some_and(|pause| pause.attempts == job.attempts);
            if !is_known {
                let pause = Pause {
                    attempts: job.attempts,
                    due: Instant::now() + pause,
                };
                line.pauses.insert(job.id.clone(), pause);
            }
        }
        drop(line);

        self.wake();
    }

    pub(super) fn join(&self, asker: Asker) {
        let mut line = self.line();
        if !line.is_closed {
            line.askers.push_back(asker);
        }
        drop(line);
        self.wake();
    }

    /// How many wait for a job.
    pub(crate) fn n_askers(&self) -> usize {
        let line = self.line();
        let askers = line.askers.iter();
        askers.filter(|asker| !asker.answer.is_closed()).count()
    }

    /// Takes all who still wait for the answer out of the line.
    pub(super) fn take_askers(&self) -> Vec<Asker> {
        let mut line = self.line();
        line.askers.retain(|asker| !asker.answer.is_closed());
        line.askers.drain(..).collect()
    }

    /// Puts those who got nothing back to the front of the line.
    pub(super) fn put_back(&self, askers: Vec<Asker>) {
        let mut line = self.line();
        for asker in askers.into_iter().rev() {
            line.askers.push_front(asker);
        }
    }

    /// Tells those whose wait is over that there is nothing for them.
    pub(super) fn send_late_away(&self) {
        let now = Instant::now();
        let mut line = self.line();
        for asker in std::mem::take(&mut line.askers) {
            if asker.until <= now {
                // Who has gone does not hear it.
                drop(asker.answer.send(Ok(None)));
            } else {
                line.askers.push_back(asker);
            }
        }
    }

    /// How much of its share a queue has had; one that had nothing to give out
    /// for a while, or is new, claims nothing for that time.
    pub(super) fn pass(&self, queue: &QueueName) -> f64 {
        let line = self.line();
        if let Some(pass) = line.passes.get(queue) {
            return *pass;
        }

        let least = line.passes.values().copied().reduce(f64::min);
        least.unwrap_or_default()
    }

    /// Notes how much of its share each queue has had that has jobs.
    pub(super) fn note_passes(&self, shares: BTreeMap<QueueName, Share>) {
        let mut line = self.line();
        let least = shares
            .values()
            .map(|share| share.pass)
            .fold(f64::INFINITY, f64::min);
        for pass in line.passes.values_mut() {
            *pass = pass.max(least);
        }

        for (queue, share) in shares {
            line.passes.insert(queue, share.pass);
        }
    }

    /// Sends everybody away: the coordinator is leaving.
    pub(super) fn close(&self) {
        let mut line = self.line();
        line.is_closed = true;
        line.askers.clear();
    }

    /// When to look next, if nothing wakes the line before.
    pub(super) fn next_look(&self) -> Instant {
        let now = Instant::now();
        let line = self.line();
        if line.askers.is_empty() {
            return now + FOR_LONG;
        }

        let mut next = now + LOOK_AGAIN;
        for asker in &line.askers {
            next = next.min(asker.until);
        }

        for pause in line.pauses.values() {
            if pause.due > now {
                next = next.min(pause.due);
            }
        }

        next
    }

    /// Whether a pause is over.
    pub(super) fn has_due_pause(&self) -> bool {
        let now = Instant::now();
        let line = self.line();
        line.pauses.values().any(|pause| pause.due <= now)
    }

    /// Whether the pause of a job is over.
    pub(super) fn is_due(&self, id: &JobId) -> bool {
        let line = self.line();
        let pause = line.pauses.get(id);
        pause.is_some_and(|pause| pause.due <= Instant::now())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the pauses that are over; returns the jobs that pause and that
    /// nothing is known of.
    pub(super) fn forget_all_but(&self, paused: &[JobId]) -> Vec<JobId> {
        let mut line = self.line();
        let now = Instant::now();
        let pauses = std::mem::take(&mut line.pauses);
        let mut unknown = Vec::new();
        for (id, pause) in pauses {
            // One that began after the look is not among them.
            if pause.due > now || paused.contains(&id) {
                line.pauses.insert(id, pause);
            }
        }

        for id in paused {
            if !line.pauses.contains_key(id) {
                unknown.push(id.clone());
            }
        }

        unknown
    }
}
