//! The wall clock that a coordinator writes down times with. It decides nothing
//! but what is old enough to be removed, and how much of an outage's budget is
//! used: how long anything else lasts is measured with `tokio::time::Instant`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A wall clock that a test can set wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct WallClock {
    ahead_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        storage::now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Lets the clock jump by so many milliseconds.
    #[cfg(test)]
    pub(crate) fn jump(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}
