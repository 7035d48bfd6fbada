//! How an attempt ends without a model.

use domain::EndOfAttempt;
use domain::{Cause, CauseKind};

use crate::error::Error;

/// How an attempt ends without a model.
#[derive(Debug)]
pub(super) enum End {
    /// The coordinator is told why.
    Told(EndOfAttempt),
    /// The lease is somebody else's now: nothing of this attempt counts.
    LeaseLost,
}

impl End {
    /// The process is to leave: somebody else goes on.
    pub(super) fn released() -> Self {
        Self::Told(EndOfAttempt::Released)
    }

    /// A failure that another attempt may not meet.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::from(Cause {
            kind: CauseKind::Internal,
            message: message.into(),
        })
    }

    /// A failure that time mends.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::from(Cause {
            kind: CauseKind::Unavailable,
            message: message.into(),
        })
    }
}

impl From<Cause> for End {
    fn from(cause: Cause) -> Self {
        Self::Told(EndOfAttempt::Failed(cause))
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        error.cause().into()
    }
}
