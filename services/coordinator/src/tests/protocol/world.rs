//! One job and everybody who works on it.

use std::rc::Rc;
use std::time::Duration;

use domain::{DatasetId, Event, Job, JobId, Schedule, TrainSpec};

use super::{MAX_ATTEMPTS, Scope};
use crate::leases::Leases;

/// How long a lease lasts without a heartbeat.
pub(super) const TERM: Duration = Duration::from_secs(10);

/// One job, and everybody who works on it.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The record in the store.
    pub(super) job: Rc<Job>,
    /// What each coordinator knows of the lease.
    pub(super) coordinators: [Leases; 2],
    pub(super) workers: [Worker; 2],
    /// What is on its way, or being served.
    pub(super) requests: Vec<Request>,
    /// Epochs of the leases whose models were published.
    pub(super) published: Vec<u64>,
    /// Somebody asked for an end, and for no other try since.
    pub(super) is_cancelled: bool,
    /// As [`Scope::ignores_epochs`].
    pub(super) ignores_epochs: bool,
}

/// What a worker believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worker {
    /// It asks for work.
    Asks,
    /// It holds the lease with this epoch.
    Holds {
        epoch: u64,
        /// It heard that it is to stop.
        is_told: bool,
    },
}

/// What somebody wants of the store.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) event: Event,
    /// The coordinator that serves it, once one does.
    pub(super) at: Option<usize>,
}

impl World {
    pub(super) fn new(scope: &Scope) -> Self {
        let mut spec = TrainSpec::new(DatasetId::new("d").expect("an id"));
        spec.max_attempts = MAX_ATTEMPTS;
        let schedule = Schedule {
            deadline_ms: scope.has_deadline.then_some(i64::MAX),
            ..Schedule::default()
        };
        let id = JobId::new("j").expect("an id");
        let job = Job::queued(id, spec, 0).scheduled(schedule, Vec::new());
        Self {
            job: Rc::new(job),
            coordinators: [Leases::default(), Leases::default()],
            workers: [Worker::Asks; 2],
            requests: Vec::new(),
            published: Vec::new(),
            is_cancelled: false,
            ignores_epochs: scope.ignores_epochs,
        }
    }

    /// This state, apart from what comes after it.
    pub(super) fn fork(&self) -> Self {
        Self {
            coordinators: self.coordinators.each_ref().map(Leases::fork),
            ..self.clone()
        }
    }

    /// The epoch of the lease that somebody holds, if anybody does.
    pub(super) fn held_epoch(&self) -> Option<u64> {
        self.job.lease.as_ref().map(|lease| lease.epoch)
    }

    /// Forgets calls with a lease that is over, and ends of leases that were
    /// renewed: in no state do they change anything any more, which
    /// `promises::broken` asks for all of them in each state. Who holds such a
    /// lease may as well ask for work.
    pub(super) fn forget_what_is_stale(&mut self) {
        let held = self.held_epoch();
        let lease = self.job.lease.clone();
        self.requests.retain(|request| {
            if let Event::LeaseEnded { seen } = &request.event {
                return lease.as_ref() == Some(seen);
            }
            request.epoch().is_none() || request.epoch() == held
        });
        for worker in &mut self.workers {
            if let Worker::Holds { epoch, .. } = worker
                && Some(*epoch) != held
            {
                *worker = Worker::Asks;
            }
        }
    }

    /// The time when the job's pause is over, by the clock that wrote it.
    pub(super) fn now_ms(&self) -> i64 {
        self.job.updated_ms.max(self.job.not_before_ms)
    }
}

impl Request {
    /// A call that no coordinator has got yet.
    pub(super) fn sent(event: Event) -> Self {
        Self { event, at: None }
    }

    /// What a coordinator wants by itself.
    pub(super) fn of(coordinator: usize, event: Event) -> Self {
        Self {
            at: Some(coordinator),
            ..Self::sent(event)
        }
    }

    /// The epoch of the lease that a worker's call is made with.
    pub(super) fn epoch(&self) -> Option<u64> {
        match &self.event {
            Event::Heartbeat { epoch, .. }
            | Event::Checkpointed { epoch, .. }
            | Event::AttemptFailed { epoch, .. }
            | Event::Stopped { epoch }
            | Event::Released { epoch }
            | Event::Committed { epoch, .. } => Some(*epoch),
            Event::Leased { .. }
            | Event::LeaseEnded { .. }
            | Event::Due
            | Event::Followed { .. }
            | Event::CannotFollow { .. }
            | Event::DeadlinePassed
            | Event::CancelRequested
            | Event::RetryRequested => None,
        }
    }
}
