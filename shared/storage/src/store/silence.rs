//! How long a store has said nothing, put together from calls that were given
//! up early.

use std::sync::atomic::{AtomicI64, Ordering};

/// Commands that were given up since the latest answer. Callers with little
/// time each give up early: together they may have waited long enough to know.
#[derive(Default)]
pub(crate) struct Silence {
    answered_ms: AtomicI64,
    /// When the first of them began; 0 when there is none.
    since_ms: AtomicI64,
    /// For how long they waited, all together.
    waited_ms: AtomicI64,
}

impl Silence {
    /// Ends it: an answer came.
    pub(crate) fn ends(&self, now_ms: i64) {
        self.answered_ms.store(now_ms, Ordering::Relaxed);
        self.since_ms.store(0, Ordering::Relaxed);
        self.waited_ms.store(0, Ordering::Relaxed);
    }

    /// Tells how long it has lasted, in milliseconds, when one more command is
    /// given up. Time in which nobody asked is no silence, and many that wait
    /// at once hear no more of it than one.
    pub(crate) fn goes_on(&self, began_ms: i64, now_ms: i64) -> i64 {
        let began_ms = began_ms.max(self.answered_ms.load(Ordering::Relaxed));
        let first = self.since_ms.compare_exchange(
            0,
            began_ms,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        let waited_ms = now_ms - began_ms;
        let all_waited_ms =
            self.waited_ms.fetch_add(waited_ms, Ordering::Relaxed) + waited_ms;
        all_waited_ms.min(now_ms - first.err().unwrap_or(began_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_given_up_early_make_one_silence_and_an_answer_ends_it()
    {
        let silence = Silence::default();
        assert_eq!(silence.goes_on(1_000, 1_050), 50);
        assert_eq!(silence.goes_on(1_000, 1_060), 60, "at once");
        assert_eq!(
            silence.goes_on(61_000, 61_050),
            160,
            "nobody asked for a minute"
        );
        silence.ends(61_060);
        assert_eq!(
            silence.goes_on(61_040, 61_100),
            40,
            "an answer came meanwhile"
        );
    }
}
