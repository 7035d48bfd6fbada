//! Pauses between the repeats of a call.

use std::time::Duration;

/// Each pause is twice as long as the one before, up to a longest one.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses =
            Pauses::new(Duration::from_secs(1), Duration::from_secs(3));
        let seconds = [0; 4].map(|_| pauses.next().as_secs());
        assert_eq!(seconds, [1, 2, 3, 3]);
    }
}
