//! How often a broken stream of events is opened again.

/// Failures in a row that a watch survives.
const MOST_IN_A_ROW: usize = 10;

/// The failures since the last event: a watch may last for days and break many
/// times, as long as events come through in between.
#[derive(Debug, Default)]
pub(crate) struct Reconnects {
    n_failures: usize,
}

impl Reconnects {
    /// Counts a failure; says whether to connect once more.
    pub(crate) fn may_follow_failure(&mut self) -> bool {
        self.n_failures += 1;
        self.n_failures <= MOST_IN_A_ROW
    }

    /// An event has come through: what failed before it no longer counts.
    pub(crate) fn saw_event(&mut self) {
        self.n_failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_stays_broken_is_given_up() {
        let mut reconnects = Reconnects::default();
        for _ in 0..MOST_IN_A_ROW {
            assert!(reconnects.may_follow_failure());
        }
        assert!(!reconnects.may_follow_failure());
    }

    #[test]
    fn failures_before_an_event_do_not_count() {
        let mut reconnects = Reconnects::default();
        for _ in 0..10 * MOST_IN_A_ROW {
            assert!(reconnects.may_follow_failure());
            reconnects.saw_event();
        }
        for _ in 0..MOST_IN_A_ROW {
            assert!(reconnects.may_follow_failure());
        }
        assert!(!reconnects.may_follow_failure());
    }
}
