//! Gives out jobs: as many as fit the workers in the line are leased in one commit
//! and handed over.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Event, Job, JobId};
use futures::future::join_all;
use storage::{Ready, Turn};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::queue::line::Asker;
use crate::step::step;
use crate::train_job::{Leased, TrainJobs};

/// A worker that asks for a job hears within this time after the end of its
/// wait, whatever the store does.
const LATE: Duration = Duration::from_secs(1);
/// Most workers that are served in one commit: with all at once, the first
/// would wait for the last.
const MOST_AT_ONCE: usize = 16;
/// So many tries follow each other before the next look.
const MOST_TRIES: usize = 100;

/// What came of one try to give out jobs.
struct Tried {
    /// Who got nothing.
    askers: Vec<Asker>,
    /// There may be more to give at once: a job was somebody else's already, or
    /// as many were given as fit into one commit.
    is_worth_another: bool,
}

/// A worker and the job that it is to get.
struct Given {
    asker: Asker,
    job: Ready,
}

impl TrainJobs {
    /// Gives the first job of the queue that a worker can take to it; waits up
    /// to `wait` for one, or until the coordinator leaves.
    pub(crate) async fn lease(
        &self,
        worker: &str,
        wait: Duration,
    ) -> Result<Option<Leased>, Error> {
        let (answer, given) = oneshot::channel();
        let until = Instant::now() + wait;
        self.queue.join(Asker {
            worker: worker.to_owned(),
            equipment: self.machines.equipment(worker),
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
            let is_done = !tried.is_worth_another || tried.askers.is_empty();
            self.queue.put_back(tried.askers);
            if is_done {
                break;
            }
        }

        self.queue.send_late_away();
    }

    async fn try_to_give(&self, askers: Vec<Asker>) -> Tried {
        let stock = match self.end_pauses().await {
            Ok(()) => self.stock(&askers, MOST_AT_ONCE).await,
            Err(error) => Err(error),
        };
        let mut stock = match stock {
            Ok(stock) => stock,
            Err(error) => return refuse(askers, &error),
        };
        let line: Vec<_> =
            askers.iter().map(|asker| &asker.equipment).collect();
        let mut gifts = stock.offers.assign(&line, MOST_AT_ONCE).into_iter();
        let mut given = Vec::new();
        let mut waiting = Vec::new();
        let mut next = gifts.next();
        for (place, asker) in askers.into_iter().enumerate() {
            match next.take_if(|gift| gift.asker == place) {
                Some(gift) => {
                    let job = gift.job;
                    given.push(Given { asker, job });
                    next = gifts.next();
                }
                None => waiting.push(asker),
            }
        }

        if given.is_empty() {
            return Tried {
                askers: waiting,
                is_worth_another: false,
            };
        }

        let n_given = given.len();
        let mut tried = self.give(given, &stock.turns).await;
        self.queue.note_passes(stock.offers.shares);
        tried.is_worth_another |= n_given == MOST_AT_ONCE;
        tried.askers.extend(waiting);
        tried
    }

    /// Leases jobs to those who are to get them, and hands them over.
    async fn give(&self, given: Vec<Given>, turns: &[Turn]) -> Tried {
        match self.lease_together(&given, turns).await {
            Ok(Some(leased)) => self.deliver(given, leased).await,
            // Somebody else may have filled a queue up to its limit.
            Ok(None) if !turns.is_empty() => Tried {
                askers: given.into_iter().map(|one| one.asker).collect(),
                is_worth_another: true,
            },
            Ok(None) => {
                let leased = self.lease_one_by_one(&given).await;
                self.deliver(given, leased).await
            }
            Err(error) => {
                let askers = given.into_iter().map(|one| one.asker);
                refuse(askers.collect(), &error)
            }
        }
    }

    /// Leases each job to its worker, in one commit; `None` when somebody else
    /// changed one of them.
    async fn lease_together(
        &self,
        given: &[Given],
        turns: &[Turn],
    ) -> Result<Option<Vec<Job>>, Error> {
        let now_ms = self.clock.now_ms();
        let ids: Vec<JobId> =
            given.iter().map(|one| one.job.id.clone()).collect();
        let lease = |nth: usize, job: &mut Job| {
            step(job, &self.leased(&given[nth].asker), now_ms)
        };
        Ok(self.storage.jobs.update_all(&ids, turns, lease).await?)
    }

    /// Leases each job in a commit of its own, so that a job which another
    /// coordinator takes at the same time costs the others nothing.
    async fn lease_one_by_one(&self, given: &[Given]) -> Vec<Job> {
        let now_ms = self.clock.now_ms();
        let leases = given.iter().map(|one| async move {
            let event = self.leased(&one.asker);
            let lease = |job: &mut Job| step(job, &event, now_ms);
            self.storage.jobs.update(&one.job.id, lease).await
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
    async fn deliver(&self, given: Vec<Given>, leased: Vec<Job>) -> Tried {
        let mut leased: BTreeMap<JobId, Job> = leased
            .into_iter()
            .map(|job| (job.id.clone(), job))
            .collect();
        let mut tried = Tried {
            askers: Vec::new(),
            is_worth_another: false,
        };
        for Given { asker, job: ready } in given {
            let Some(job) = leased.remove(&ready.id) else {
                self.look_into(&ready).await;
                tried.is_worth_another = true;
                tried.askers.push(asker);
                continue;
            };
            self.note(&job);
            let epoch = job.epoch();
            let term = self.lease_term;
            if asker.answer.send(Ok(Some(Leased { job, term }))).is_err() {
                self.take_back(&ready.id, epoch).await;
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
    async fn look_into(&self, ready: &Ready) {
        if let Err(error) = self.storage.jobs.mend_ready(ready).await {
            let error = service::chain(&error);
            tracing::warn!(job = %ready.id, error, "cannot look into a queued job");
        }
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
        is_worth_another: false,
    }
}
