//! Gives queued jobs to the workers that ask for work.
//!
//! Workers wait in a line in memory, and one task gives out jobs: as many as
//! there are workers in the line are read, leased in one commit and handed
//! over. Nobody else wakes for a job, and who waits reads nothing. Another
//! coordinator on the same store may take a job first; the worker then gets
//! the next one at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Event, Job, JobId, State};
use futures::future::join_all;
use storage::Ready;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::step::step;
use crate::train_job::{LOOK_AGAIN, Leased, TrainJobs};

/// A worker that asks for a job hears within this time after the end of its
/// wait, whatever the store does.
const LATE: Duration = Duration::from_secs(1);
/// Most workers that are served in one commit: with all at once, the first
/// would wait for the last.
const MOST_AT_ONCE: usize = 16;
/// So many tries follow each other before the next look.
const MOST_TRIES: usize = 100;
/// Nobody waits: the next look is when somebody does.
const FOR_LONG: Duration = Duration::from_secs(3_600);

/// The workers that ask for work, and the jobs that pause.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    line: Arc<Mutex<Line>>,
    /// There is a worker more in the line, or a job more in the queue.
    woken: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Line {
    askers: VecDeque<Asker>,
    /// When the jobs that pause are due, by this coordinator's stopwatch.
    pauses: BTreeMap<JobId, Pause>,
    is_closed: bool,
}

/// A worker in the line.
#[derive(Debug)]
struct Asker {
    worker: String,
    until: Instant,
    answer: oneshot::Sender<Result<Option<Leased>, Error>>,
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
        if !pause.is_zero() {
            let mut line = self.line();
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

        self.wake();
    }

    fn join(&self, asker: Asker) {
        let mut line = self.line();
        if !line.is_closed {
            line.askers.push_back(asker);
        }
        drop(line);
        self.wake();
    }

    /// Takes the first in the line out of it who still wait for the answer.
    fn take_askers(&self) -> Vec<Asker> {
        let mut line = self.line();
        line.askers.retain(|asker| !asker.answer.is_closed());
        let n = line.askers.len().min(MOST_AT_ONCE);
        line.askers.drain(..n).collect()
    }

    /// Puts those who got nothing back to the front of the line.
    fn put_back(&self, askers: Vec<Asker>) {
        let mut line = self.line();
        for asker in askers.into_iter().rev() {
            line.askers.push_front(asker);
        }
    }

    /// Tells those whose wait is over that there is nothing for them.
    fn send_late_away(&self) {
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

    /// Sends everybody away: the coordinator is leaving.
    fn close(&self) {
        let mut line = self.line();
        line.is_closed = true;
        line.askers.clear();
    }

    /// When to look next, if nothing wakes the line before.
    fn next_look(&self) -> Instant {
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

    fn is_due(&self, id: &JobId) -> bool {
        let line = self.line();
        let pause = line.pauses.get(id);
        pause.is_some_and(|pause| pause.due <= Instant::now())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of one try to give out jobs.
struct Tried {
    /// Who got nothing.
    askers: Vec<Asker>,
    /// A job was somebody else's already.
    lost_a_race: bool,
}

impl TrainJobs {
    /// Gives the first job of the queue to a worker; waits up to `wait` for
    /// one, or until the coordinator leaves.
    pub(crate) async fn lease(
        &self,
        worker: &str,
        wait: Duration,
    ) -> Result<Option<Leased>, Error> {
        let (answer, given) = oneshot::channel();
        let until = Instant::now() + wait;
        let worker = worker.to_owned();
        self.queue.join(Asker {
            worker,
            until,
            answer,
        });
        match timeout_at(until + LATE, given).await {
            Ok(Ok(given)) => given,
            // The coordinator is leaving, or the store takes too long.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Gives out jobs until `shutdown`.
    pub(crate) async fn hand_out_until(&self, shutdown: CancellationToken) {
        loop {
            let next = self.queue.next_look();
            let look = async {
                tokio::select! {
                    () = self.queue.woken.notified() => {}
                    () = sleep_until(next) => {}
                }
            };
            if shutdown.run_until_cancelled(look).await.is_none() {
                self.queue.close();
                return;
            }

            self.hand_out().await;
        }
    }

    /// Gives a job to everybody in the line, as far as there are any.
    async fn hand_out(&self) {
        for _ in 0..MOST_TRIES {
            let askers = self.queue.take_askers();
            if askers.is_empty() {
                return;
            }

            let tried = self.try_to_give(askers).await;
            let all_are_served = tried.askers.is_empty();
            self.queue.put_back(tried.askers);
            if !tried.lost_a_race && !all_are_served {
                break;
            }
        }

        self.queue.send_late_away();
    }

    async fn try_to_give(&self, askers: Vec<Asker>) -> Tried {
        let jobs = match self.due(askers.len()).await {
            Ok(jobs) => jobs,
            Err(error) => return refuse(askers, &error),
        };
        if jobs.is_empty() {
            return Tried {
                askers,
                lost_a_race: false,
            };
        }

        match self.lease_together(&jobs, &askers).await {
            Ok(Some(leased)) => self.deliver(askers, &jobs, leased).await,
            Ok(None) => {
                let leased = self.lease_one_by_one(&jobs, &askers).await;
                self.deliver(askers, &jobs, leased).await
            }
            Err(error) => refuse(askers, &error),
        }
    }

    /// The first jobs that are due now.
    async fn due(&self, most: usize) -> Result<Vec<JobId>, Error> {
        let jobs = &self.storage.jobs;
        let mut ready = jobs.ready(most).await?;
        if self.has_due_pause() {
            for paused in jobs.paused().await? {
                if self.queue.is_due(&paused.id) {
                    ready.push(paused);
                }
            }
        }

        ready.sort();
        ready.truncate(most);
        Ok(ready.into_iter().map(|ready| ready.id).collect())
    }

    fn has_due_pause(&self) -> bool {
        let now = Instant::now();
        let line = self.queue.line();
        line.pauses.values().any(|pause| pause.due <= now)
    }

    /// Leases each job to the worker in the same place of the line, in one
    /// commit; `None` when somebody else changed one of them.
    async fn lease_together(
        &self,
        jobs: &[JobId],
        askers: &[Asker],
    ) -> Result<Option<Vec<Job>>, Error> {
        let now_ms = self.clock.now_ms();
        let lease = |nth: usize, job: &mut Job| {
            step(job, &self.leased(&askers[nth]), now_ms)
        };
        Ok(self.storage.jobs.update_all(jobs, lease).await?)
    }

    /// Leases each job in a commit of its own, so that a job which another
    /// coordinator takes at the same time costs the others nothing.
    async fn lease_one_by_one(
        &self,
        jobs: &[JobId],
        askers: &[Asker],
    ) -> Vec<Job> {
        let now_ms = self.clock.now_ms();
        let leases = jobs.iter().zip(askers).map(|(id, asker)| async move {
            let event = self.leased(asker);
            let lease = |job: &mut Job| step(job, &event, now_ms);
            self.storage.jobs.update(id, lease).await
        });
        let mut leased = Vec::new();
        for lease in join_all(leases).await {
            leased.extend(lease.ok());
        }

        leased
    }

    fn leased(&self, asker: &Asker) -> Event {
        Event::Leased {
            worker: asker.worker.clone(),
            term: self.lease_term,
        }
    }

    /// Hands leased jobs to their workers. One whose worker has gone meanwhile
    /// goes back into the queue.
    async fn deliver(
        &self,
        askers: Vec<Asker>,
        jobs: &[JobId],
        leased: Vec<Job>,
    ) -> Tried {
        let mut leased: BTreeMap<JobId, Job> = leased
            .into_iter()
            .map(|job| (job.id.clone(), job))
            .collect();
        let mut tried = Tried {
            askers: Vec::new(),
            lost_a_race: false,
        };
        let mut ids = jobs.iter();
        for asker in askers {
            let Some(id) = ids.next() else {
                tried.askers.push(asker);
                continue;
            };
            let Some(job) = leased.remove(id) else {
                self.look_into(id).await;
                tried.lost_a_race = true;
                tried.askers.push(asker);
                continue;
            };
            self.note(&job);
            let epoch = job.epoch();
            let term = self.lease_term;
            if asker.answer.send(Ok(Some(Leased { job, term }))).is_err() {
                self.take_back(id, epoch).await;
            }
        }

        tried
    }

    async fn take_back(&self, id: &JobId, epoch: u64) {
        let released = self.apply(id, &Event::Released { epoch }).await;
        if let Err(error) = released {
            let error = service::chain(&error);
            tracing::warn!(job = %id, error, "a job's worker has gone; its lease will run out");
        }
    }

    /// Takes a job out of the queue that is not to be had: somebody else has
    /// it, or its record cannot be read.
    async fn look_into(&self, id: &JobId) {
        if let Err(error) = self.storage.jobs.mend(id).await {
            let error = service::chain(&error);
            tracing::warn!(job = %id, error, "cannot look into a queued job");
        }
    }

    /// Notes when the jobs that pause are due: the pause begins when this
    /// coordinator first sees it.
    pub(crate) async fn note_pauses(&self) -> Result<(), Error> {
        let jobs = &self.storage.jobs;
        let paused = jobs.paused().await?;
        let unknown = self.queue.forget_all_but(&paused);
        for job in jobs.get_all(&unknown).await? {
            self.queue.note(&job);
        }

        Ok(())
    }
}

impl Queue {
    /// Forgets the pauses that are over; returns the jobs that pause and that
    /// nothing is known of.
    fn forget_all_but(&self, paused: &[Ready]) -> Vec<JobId> {
        let mut line = self.line();
        let now = Instant::now();
        let pauses = std::mem::take(&mut line.pauses);
        let mut unknown = Vec::new();
        for (id, pause) in pauses {
            // One that began after the look is not among them.
            if pause.due > now || paused.iter().any(|ready| ready.id == id) {
                line.pauses.insert(id, pause);
            }
        }

        for ready in paused {
            if !line.pauses.contains_key(&ready.id) {
                unknown.push(ready.id.clone());
            }
        }

        unknown
    }
}

/// Tells everybody in the line that the store failed.
fn refuse(askers: Vec<Asker>, error: &Error) -> Tried {
    let error = service::chain(error);
    tracing::warn!(error, "cannot give out jobs");
    for asker in askers {
        let refused = Err(Error::NoQueue(error.clone()));
        drop(asker.answer.send(refused)); // who has gone does not hear it
    }

    Tried {
        askers: Vec::new(),
        lost_a_race: false,
    }
}
