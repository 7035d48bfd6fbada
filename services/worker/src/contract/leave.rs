//! Asks a training to save what it has and to stop, because its process is to
//! leave.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The wish that a training stops; clones are the same wish.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    by: Arc<OnceLock<Instant>>,
}

impl Leave {
    /// Asks the training to stop by a time: after the epoch at hand, with a
    /// checkpoint, where that ends in time, else at its next step.
    pub fn ask(&self, by: Instant) {
        // Who has asked before has given less time.
        let _first = self.by.set(by);
    }

    /// True once somebody has asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.by.get().is_some()
    }

    /// True where something that takes so long ends too late; false while
    /// nobody has asked.
    pub(crate) fn is_too_late_for(&self, what_follows: Duration) -> bool {
        self.by
            .get()
            .is_some_and(|by| Instant::now() + what_follows > *by)
    }
}
