//! What happens to a job, and what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{ArtifactId, JobId, ModelVersion};
use crate::job::Lease;
use crate::job::progress::Progress;
use crate::job::state::{Cause, State};

/// What happens to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker takes it.
    Leased {
        /// Name of the worker.
        worker: String,
        /// How long the lease lasts without a heartbeat.
        term: Duration,
    },
    /// A worker is alive and says how far it is.
    Heartbeat {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
        /// How far the work is.
        progress: Progress,
        /// How long the lease lasts from now on.
        term: Duration,
    },
    /// A worker saved a checkpoint.
    Checkpointed {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
        /// The checkpoint in the artifact store.
        checkpoint: ArtifactId,
    },
    /// A worker gives up.
    AttemptFailed {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
        /// Why it gives up.
        cause: Cause,
        /// How long the job may wait for something that is out of reach.
        patience: Duration,
    },
    /// A worker stopped because it was told to.
    Stopped {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
    },
    /// A worker leaves in good order (its process is shutting down); the job
    /// goes back into the queue.
    Released {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
    },
    /// A worker's result was verified and published.
    Committed {
        /// The epoch of the lease that the worker holds.
        epoch: u64,
        /// The version that was published.
        version: ModelVersion,
        /// Ranking metrics of the version.
        metrics: BTreeMap<String, f64>,
    },
    /// Nobody renewed the lease in time.
    LeaseEnded {
        /// The lease as it was for a whole term.
        seen: Lease,
    },
    /// The moment that it waited for has come, or its pause is over.
    Due,
    /// A job that it follows has succeeded.
    Followed {
        /// That job.
        job: JobId,
    },
    /// A job that it follows will not succeed.
    CannotFollow {
        /// That job.
        job: JobId,
        /// What became of that job, as the end of a sentence.
        why: String,
    },
    /// It has not ended by its deadline.
    DeadlinePassed,
    /// Somebody wants it to stop.
    CancelRequested,
    /// Somebody wants a job that ended without a model to be tried again.
    RetryRequested,
}

/// Why a worker gives a job back without a model.
#[derive(Debug, Clone, PartialEq)]
pub enum EndOfAttempt {
    /// The attempt failed for this reason.
    Failed(Cause),
    /// The worker stopped because the job was cancelled.
    Cancelled,
    /// The worker is shutting down.
    Released,
}

impl EndOfAttempt {
    /// Makes an event of it, for the lease with this epoch of a job that waits
    /// so long for what is out of reach.
    pub fn event(self, epoch: u64, patience: Duration) -> Event {
        match self {
            Self::Failed(cause) => Event::AttemptFailed {
                epoch,
                cause,
                patience,
            },
            Self::Cancelled => Event::Stopped { epoch },
            Self::Released => Event::Released { epoch },
        }
    }
}

/// An event that does not fit the job's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The worker's lease is not the current one.
    #[error(
        "lease epoch {given} is not current (the job is {state:?}, its epoch is {current})"
    )]
    StaleLease {
        /// The epoch of the lease that the worker holds.
        given: u64,
        /// The epoch that it would have to be.
        current: u64,
        /// Where the job stands meanwhile.
        state: State,
    },
    /// The worker that was taken for lost has renewed its lease meanwhile.
    #[error("the lease was renewed meanwhile")]
    Renewed,
    /// The job waits for other jobs, or for a moment.
    #[error("the job may not begin yet")]
    NotReady,
    /// The job does not wait for this.
    #[error("the job does not wait for this")]
    NotAwaited,
    /// The job is not in a state for this.
    #[error("the job is {0:?}")]
    WrongState(State),
}
