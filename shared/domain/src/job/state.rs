//! Where a job stands, and why an attempt at it ended early.

use serde::{Deserialize, Serialize};

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
    /// True when nothing will change any more, unless somebody asks for another
    /// try.
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
    /// Something that the job needs is out of reach or full: the artifact store,
    /// a disk, a hub. Time mends it.
    Unavailable,
    /// The job lost worker after worker in the same place: it seems to be what
    /// ends them.
    WorkerCrashed,
    /// It had not ended by its deadline.
    DeadlinePassed,
    /// A job that it was to follow ended without a model.
    DependencyFailed,
    /// Something else inside failed; also a cause that only a newer
    /// program knows.
    #[serde(other)]
    Internal,
}

/// Why an attempt ended early, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which kind of cause it is, for programs.
    pub kind: CauseKind,
    /// What, where, and how to fix it.
    pub message: String,
}
