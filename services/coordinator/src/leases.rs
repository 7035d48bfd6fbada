//! How long each lease has gone without a heartbeat, by this coordinator's own
//! stopwatch: no time that another machine wrote down is looked at.
//!
//! A heartbeat counts the lease's number up (`Lease::n_beats`); one that a
//! coordinator of an earlier version heard changes its time alone. Whoever speaks
//! to this coordinator is heard at once; what workers tell another coordinator
//! is seen in the store, when the sweep looks there. Only time counts in which
//! this coordinator could look: while it was stopped, or the store was away,
//! nobody could renew a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Event, Job, JobId, Lease};

/// What is known about the leases of all running jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    known: Arc<Mutex<BTreeMap<JobId, Known>>>,
}

/// A lease as it was last seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Absent until it was seen for the first time.
    pub(crate) lease: Option<Lease>,
    /// For how long nobody has renewed it.
    pub(crate) age: Duration,
    /// Its worker speaks to this coordinator.
    pub(crate) is_ours: bool,
}

impl Leases {
    /// Notes that a job's worker has spoken to this coordinator just now.
    pub(crate) fn heard(&self, job: &Job) {
        let mut known = self.known();
        let Some(lease) = &job.lease else {
            known.remove(&job.id);
            return;
        };
        let heard = Known {
            lease: Some(lease.clone()),
            age: Duration::ZERO,
            is_ours: true,
        };
        known.insert(job.id.clone(), heard);
    }

    /// Lets `passed` go by for the leases of these jobs, and forgets all
    /// others. Returns those that must be looked up in the store: nobody has
    /// spoken to this coordinator about them for `quiet`.
    pub(crate) fn grow_older(
        &self,
        leased: &[JobId],
        passed: Duration,
        quiet: Duration,
    ) -> Vec<JobId> {
        let mut known = self.known();
        let ids: BTreeSet<&JobId> = leased.iter().collect();
        known.retain(|id, _| ids.contains(id));
        let mut unheard = Vec::new();
        for id in leased {
            let lease = known.entry(id.clone()).or_default();
            lease.age += passed;
            if !lease.is_ours || lease.age >= quiet {
                unheard.push(id.clone());
            }
        }

        unheard
    }

    /// Compares jobs as they are in the store with what was seen before;
    /// returns the ends of the leases that nobody has renewed for `term`.
    pub(crate) fn ended(
        &self,
        jobs: &[Job],
        term: Duration,
    ) -> Vec<(JobId, Event)> {
        let mut known = self.known();
        let mut ended = Vec::new();
        for job in jobs {
            let Some(lease) = &job.lease else { continue };
            let known = known.entry(job.id.clone()).or_default();
            if known.lease.as_ref() != Some(lease) {
                *known = Known {
                    lease: Some(lease.clone()),
                    age: Duration::ZERO,
                    is_ours: false,
                };
            } else if known.age > term {
                let seen = lease.clone();
                ended.push((job.id.clone(), Event::LeaseEnded { seen }));
            }
        }

        ended
    }

    /// Gives everybody a whole term again: for a while nobody could renew a
    /// lease, or nobody could have seen it.
    pub(crate) fn start_over(&self) {
        for lease in self.known().values_mut() {
            lease.age = Duration::ZERO;
        }
    }

    /// How many workers speak to this coordinator and hold a lease.
    pub(crate) fn n_ours(&self) -> usize {
        self.known().values().filter(|lease| lease.is_ours).count()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<JobId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For who tries out what may follow a state, all of it.
#[cfg(test)]
impl Leases {
    /// The same, apart from what becomes of this one.
    pub(crate) fn fork(&self) -> Self {
        let known = self.known().clone();
        Self {
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// What is known of a job's lease.
    pub(crate) fn of(&self, job: &JobId) -> Option<Known> {
        self.known().get(job).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Progress, TrainSpec};

    const SECOND: Duration = Duration::from_secs(1);
    const TERM: Duration = Duration::from_secs(10);

    fn running() -> Job {
        let id = JobId::new("j").unwrap();
        let dataset = DatasetId::new("d").unwrap();
        let mut job = Job::queued(id, TrainSpec::new(dataset), 0);
        let leased = Event::Leased {
            worker: "w".to_owned(),
            term: TERM,
        };
        job.apply(leased, 0).unwrap();
        job
    }

    fn beat(job: &mut Job, now_ms: i64) {
        let heartbeat = Event::Heartbeat {
            epoch: 1,
            progress: Progress::default(),
            term: TERM,
        };
        job.apply(heartbeat, now_ms).unwrap();
    }

    /// Looks once a second, as the sweep does; returns the ends that it finds.
    fn look(leases: &Leases, job: &Job) -> Vec<(JobId, Event)> {
        let ids = [job.id.clone()];
        leases.grow_older(&ids, SECOND, TERM / 2);
        leases.ended(std::slice::from_ref(job), TERM)
    }

    #[test]
    fn a_lease_ends_once_its_number_stood_still_for_a_term_whatever_clocks_say()
    {
        let leases = Leases::default();
        let mut job = running();
        for at in 0..60 {
            // Another coordinator's clock jumps to and fro.
            beat(&mut job, if at % 2 == 0 { 600_000 } else { -600_000 });
            assert!(look(&leases, &job).is_empty(), "{at}");
        }
        for _ in 0..10 {
            assert!(look(&leases, &job).is_empty());
        }
        let seen = job.lease.clone().unwrap();
        assert_eq!(seen.n_beats, 60);
        let event = Event::LeaseEnded { seen };
        assert_eq!(look(&leases, &job), [(job.id.clone(), event)]);
    }

    #[test]
    fn a_worker_that_is_heard_here_is_not_looked_up() {
        let leases = Leases::default();
        let mut job = running();
        leases.heard(&job);
        let ids = [job.id.clone()];
        for _ in 0..30 {
            beat(&mut job, 0);
            leases.heard(&job);
            let unheard = leases.grow_older(&ids, SECOND, TERM / 2);
            assert!(unheard.is_empty());
        }
        assert_eq!(leases.n_ours(), 1);
        job.apply(Event::Released { epoch: 1 }, 1).unwrap();
        leases.heard(&job);
        assert_eq!(leases.n_ours(), 0);
    }

    #[test]
    fn time_in_which_nobody_could_renew_does_not_count() {
        let leases = Leases::default();
        let job = running();
        for _ in 0..3 {
            for _ in 0..10 {
                assert!(look(&leases, &job).is_empty());
            }
            leases.start_over();
        }
        for _ in 0..10 {
            assert!(look(&leases, &job).is_empty());
        }
        assert_eq!(look(&leases, &job).len(), 1);
    }
}
