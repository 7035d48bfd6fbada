//! A connection to a scorer that, where that is wanted, sends little more than
//! the scorer takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::stub::Stub;

/// A connection; its clones have one throttle.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) stub: Stub,
    throttle: Option<Arc<Mutex<Throttle>>>,
}

/// Bounds what is sent to a scorer that refuses: a refusal costs it work too,
/// and many leave it no time for answers. Adaptive throttling, Site Reliability
/// Engineering (2016), ch. 21: of all calls that are wanted, the share is sent
/// that makes [`MORE`] times what is accepted.
struct Throttle {
    /// Calls of late, those that were not sent too; fades.
    wanted: f64,
    /// Calls of late that the scorer did not refuse; fades.
    accepted: f64,
    /// When the two have faded last.
    faded: Instant,
    /// Grows with each call that is wanted; one is sent when this has come to
    /// one.
    share: f64,
}

/// A call that is this old counts a third of a new one.
const MEMORY: Duration = Duration::from_millis(500);
/// Calls that are sent for each one that is accepted. With fewer it takes
/// longer to notice that the scorer takes more again, with more the refusals
/// cost more.
const MORE: f64 = 1.5;

impl Client {
    pub(crate) fn new(stub: Stub, is_throttled: bool) -> Self {
        let throttle = is_throttled.then(|| Throttle::new(Instant::now()));
        Self {
            stub,
            throttle: throttle.map(|throttle| Arc::new(Mutex::new(throttle))),
        }
    }

    /// Whether a call may be sent now.
    pub(crate) fn may_send(&self) -> bool {
        self.throttle()
            .is_none_or(|mut throttle| throttle.may_send(Instant::now()))
    }

    /// Learns what became of a call that was sent.
    pub(crate) fn hear<T>(&self, answer: &Result<T, Status>) {
        let is_refused = matches!(answer, Err(status) if status.code() == Code::ResourceExhausted);
        if let Some(mut throttle) = self.throttle() {
            throttle.hear(is_refused, Instant::now());
        }
    }

    fn throttle(&self) -> Option<MutexGuard<'_, Throttle>> {
        let throttle = self.throttle.as_ref()?.lock();
        Some(throttle.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Throttle {
    fn new(now: Instant) -> Self {
        Self {
            wanted: 0.0,
            accepted: 0.0,
            faded: now,
            share: 0.0,
        }
    }

    fn may_send(&mut self, now: Instant) -> bool {
        self.fade(now);
        let share = (MORE * self.accepted + 1.0) / (self.wanted + 1.0);
        self.share += share.min(1.0);
        let may_send = self.share >= 1.0;
        if may_send {
            self.share -= 1.0;
        } else {
            self.wanted += 1.0;
        }

        may_send
    }

    fn hear(&mut self, is_refused: bool, now: Instant) {
        self.fade(now);
        self.wanted += 1.0;
        self.accepted += f64::from(u8::from(!is_refused));
    }

    fn fade(&mut self, now: Instant) {
        let left = (-(now - self.faded).div_duration_f64(MEMORY)).exp();
        self.wanted *= left;
        self.accepted *= left;
        self.faded = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Offers ten calls a millisecond, of which the scorer takes so many; calls
    /// sent and accepted in the second half.
    fn offered(
        throttle: &mut Throttle,
        from: Instant,
        ms: u32,
        taken: usize,
    ) -> (usize, usize) {
        let (mut sent, mut accepted) = (0, 0);
        for at in 0..ms {
            let now = from + at * MS;
            let n = (0..10).filter(|_| throttle.may_send(now)).count();
            for number in 0..n {
                throttle.hear(number >= taken, now);
            }
            if at >= ms / 2 {
                (sent, accepted) = (sent + n, accepted + n.min(taken));
            }
        }
        (sent, accepted)
    }

    #[test]
    fn half_as_much_more_is_sent_than_accepted_and_everything_soon_after_an_overload()
     {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        assert_eq!(
            offered(&mut throttle, start, 1_000, 10),
            (5_000, 5_000),
            "nothing is held back before a refusal"
        );
        let overload = start + 1_000 * MS;
        let (sent, accepted) = offered(&mut throttle, overload, 8_000, 2);
        assert!(
            accepted > 7_900 && 10 * sent < 16 * accepted,
            "{sent} sent, {accepted} accepted"
        );
        let after = overload + 8_000 * MS;
        assert_eq!(offered(&mut throttle, after, 4_000, 10), (20_000, 20_000));
    }

    #[test]
    fn a_scorer_that_accepts_nothing_is_asked_now_and_then() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let (sent, _) = offered(&mut throttle, start, 20_000, 0);
        assert!((1..1_000).contains(&sent), "{sent} of 100,000");
    }
}
