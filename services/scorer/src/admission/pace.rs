//! How fast the model thread is and what it is at: by this `forward` refuses
//! what could not be in time, and bounds its batches.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is promised is this many times the mean: on cores that others use too,
/// times vary by a third.
const CAUTION: f64 = 1.4;
const LATEST: f64 = 0.2;
/// Sizes of batches that are told apart: 1, 2, 4 … tokens.
const N_SIZES: usize = 24;

/// What was measured so far, shared by the thread and those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    measured: Mutex<Measured>,
}

/// The thread's pace at one moment. A cost is counted in tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// A running mean for each size; 0 before the first batch. Small batches
    /// are slower: the weights are read for each.
    tokens_per_second: [f64; N_SIZES],
    latest: usize,
    at_work: Option<AtWork>,
}

#[derive(Debug, Clone, Copy)]
struct AtWork {
    since: Instant,
    cost: usize,
}

impl Pace {
    /// Does work of some cost, and shows others meanwhile that the thread is
    /// busy. Returns how long it took as well.
    pub(crate) fn during<T>(
        &self,
        cost: usize,
        work: impl FnOnce() -> T,
    ) -> (T, Duration) {
        let since = Instant::now();
        self.lock().at_work = Some(AtWork { since, cost });
        let done = work();
        self.lock().at_work = None;
        (done, since.elapsed())
    }

    pub(crate) fn learns(&self, n_tokens: usize, took: Duration) {
        let latest = n_tokens as f64 / took.as_secs_f64().max(1e-6);
        let mut measured = self.lock();
        measured.latest = n_tokens;
        let mean = &mut measured.tokens_per_second[size(n_tokens)];
        if *mean > 0.0 {
            *mean += LATEST * (latest - *mean);
        } else {
            *mean = latest;
        }
    }

    pub(crate) fn measured(&self) -> Measured {
        *self.lock()
    }

    /// Pretends that a batch began at this time.
    #[cfg(test)]
    pub(crate) fn began(&self, since: Instant) {
        self.lock().at_work = Some(AtWork { since, cost: 1 });
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    /// How long work of some cost takes on average; no time before the first
    /// batch.
    pub(crate) fn mean_time(&self, cost: usize) -> Duration {
        // The nearest size that was measured, smaller ones first.
        let (smaller, larger) = self.tokens_per_second.split_at(size(cost) + 1);
        let mut nearest_first = smaller.iter().rev().chain(larger);
        match nearest_first.find(|pace| **pace > 0.0) {
            Some(pace) => Duration::from_secs_f64(cost as f64 / pace),
            None => Duration::ZERO,
        }
    }

    /// How long work of some cost takes as far as can be promised.
    pub(crate) fn time(&self, cost: usize) -> Duration {
        self.mean_time(cost).mul_f64(CAUTION)
    }

    /// How long it is from now until new work is done that comes after work of
    /// the cost `ahead`. It waits for the whole batch that it is part of, and
    /// while the thread is busy others join that: it becomes as large as the
    /// one before, but takes at most `longest`.
    pub(crate) fn wait(
        &self,
        ahead: usize,
        cost: usize,
        longest: Duration,
    ) -> Duration {
        let own = self.time(ahead + cost);
        let Some(at_work) = self.at_work else {
            return own;
        };
        let like_latest = self.time(self.latest).min(longest);
        let rest = self
            .time(at_work.cost)
            .saturating_sub(at_work.since.elapsed());
        rest + own.max(like_latest)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }

    /// For how long the thread has been at its work; no time when it is idle.
    pub(crate) fn at_work_for(&self) -> Duration {
        self.at_work
            .map_or(Duration::ZERO, |at_work| at_work.since.elapsed())
    }
}

fn size(cost: usize) -> usize {
    (cost.max(1).ilog2() as usize).min(N_SIZES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_goes_by_batches_of_that_size_and_else_by_the_nearest_smaller_ones()
     {
        let pace = Pace::default();
        assert_eq!(pace.measured().time(100), Duration::ZERO);
        pace.learns(16, Duration::from_millis(160));
        pace.learns(1_024, Duration::from_millis(1_024));
        let measured = pace.measured();
        assert_eq!(measured.mean_time(20), Duration::from_millis(200));
        assert_eq!(
            measured.mean_time(1_000),
            Duration::from_millis(10_000),
            "smaller than the large batches"
        );
        assert_eq!(measured.mean_time(2_048), Duration::from_millis(2_048));
        assert_eq!(measured.mean_time(4), Duration::from_millis(40));
        assert_eq!(
            measured.time(2_048),
            Duration::from_millis(2_048).mul_f64(CAUTION)
        );
    }

    #[test]
    fn who_comes_while_the_thread_is_busy_waits_for_a_batch_like_the_latest() {
        let pace = Pace::default();
        pace.learns(512, Duration::from_millis(512));
        let longest = Duration::from_secs(9);
        assert_eq!(
            pace.measured().wait(0, 512, longest),
            pace.measured().time(512),
            "nothing is at work"
        );
        let busy = pace.during(512, || pace.measured()).0;
        let wait = |longest| busy.wait(0, 10, longest);
        let latest = busy.time(512);
        assert!(
            wait(longest) <= latest * 2 && wait(longest) > latest.mul_f64(1.5),
            "{:?}",
            wait(longest)
        );
        assert!(
            wait(latest / 4) <= latest.mul_f64(1.25),
            "{:?}",
            wait(latest / 4)
        );
    }
}
