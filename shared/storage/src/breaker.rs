//! While something that this program can do without fails, one call tries it
//! now and then; the others go on without it.

use std::sync::atomic::{AtomicI64, Ordering};

/// Keeps calls away from something that fails.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// When the pause ends, in milliseconds of the stopwatch; 0 while all
    /// is well.
    resume_ms: AtomicI64,
    pause_ms: AtomicI64,
    first_pause_ms: i64,
    longest_pause_ms: i64,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// All is well: the call may be made.
    Open,
    /// This call tries whether it is back; the others stay away meanwhile.
    Trial,
    /// The pause is not over: stay away.
    Closed,
}

impl Breaker {
    /// Sets the first failure's pause; each further one's is twice as long, up
    /// to the longest.
    pub(crate) fn new(first_pause_ms: i64, longest_pause_ms: i64) -> Self {
        Self {
            resume_ms: AtomicI64::new(0),
            pause_ms: AtomicI64::new(0),
            first_pause_ms,
            longest_pause_ms,
        }
    }

    /// Decides whether a call may be made now.
    pub(crate) fn turn(&self, now_ms: i64) -> Turn {
        let resume_ms = self.resume_ms.load(Ordering::Relaxed);
        if resume_ms == 0 {
            return Turn::Open;
        }

        if now_ms < resume_ms {
            return Turn::Closed;
        }

        // Whoever moves the end of the pause first has the trial; the others
        // see a new pause.
        let pause_ms = self.pause_ms.load(Ordering::Relaxed);
        let until = now_ms + pause_ms.max(self.first_pause_ms);
        let taken = self.resume_ms.compare_exchange(
            resume_ms,
            until,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_ok() {
            Turn::Trial
        } else {
            Turn::Closed
        }
    }

    pub(crate) fn succeeded(&self) {
        self.resume_ms.store(0, Ordering::Relaxed);
        self.pause_ms.store(0, Ordering::Relaxed);
    }

    /// Notes a failure; true when all was well before. Calls that were under
    /// way together fail together, and count once.
    pub(crate) fn failed(&self, turn: Turn, now_ms: i64) -> bool {
        let was_well = self.resume_ms.load(Ordering::Relaxed) == 0;
        if turn != Turn::Trial && !was_well {
            return false;
        }

        let pause_ms = (2 * self.pause_ms.load(Ordering::Relaxed))
            .clamp(self.first_pause_ms, self.longest_pause_ms);
        self.pause_ms.store(pause_ms, Ordering::Relaxed);
        self.resume_ms.store(now_ms + pause_ms, Ordering::Relaxed);
        was_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_tries_what_fails_when_the_pause_is_over_and_the_pauses_grow() {
        let breaker = Breaker::new(1_000, 32_000);
        assert_eq!(breaker.turn(10), Turn::Open);
        assert!(breaker.failed(Turn::Open, 10));
        let due = breaker.resume_ms.load(Ordering::Relaxed);
        assert_eq!((due, breaker.turn(900)), (1_010, Turn::Closed));
        assert!(
            !breaker.failed(Turn::Open, 900),
            "a call that was under way"
        );
        assert_eq!(
            breaker.resume_ms.load(Ordering::Relaxed),
            due,
            "who stays away does not make the pause longer"
        );
        assert_eq!(
            (breaker.turn(due), breaker.turn(due)),
            (Turn::Trial, Turn::Closed)
        );
        breaker.failed(Turn::Trial, due);
        assert!(
            breaker.resume_ms.load(Ordering::Relaxed) >= due + 2_000,
            "twice as long"
        );
        for _ in 0..20 {
            breaker.failed(Turn::Trial, 0);
        }
        assert_eq!(breaker.pause_ms.load(Ordering::Relaxed), 32_000);
        breaker.succeeded();
        assert_eq!(breaker.turn(0), Turn::Open);
    }
}
