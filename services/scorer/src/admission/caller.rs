//! Who wants an answer, and until when.

use std::sync::Arc;
use std::time::Instant;

use domain::Priority;

/// The name that a client gave itself, or its address.
pub(crate) type Client = Arc<str>;

/// Who wants an answer, until when they wait for it, and who goes first.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    /// The time after which the answer is of no use.
    pub(crate) by: Instant,
    pub(crate) priority: Priority,
}

impl Caller {
    /// The caller of background work: nobody waits for it, so everybody else's
    /// work goes first.
    pub(crate) fn nobody(by: Instant) -> Self {
        Self {
            client: "".into(),
            by,
            priority: Priority::Batch,
        }
    }
}
