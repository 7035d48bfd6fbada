//! Adds up the outcomes of a point.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc::Receiver;
use tonic::{Code, Status};

use crate::flight::Outcome;
use crate::report::Failures;
use crate::stub::Answer;

/// All outcomes of a point; times in microseconds.
pub(crate) struct Collected {
    pub(crate) ok: Histogram<u64>,
    /// Answers within the deadline.
    pub(crate) in_time: u64,
    pub(crate) refused: Histogram<u64>,
    /// Other failures by code.
    pub(crate) failed: BTreeMap<String, Failures>,
    pub(crate) retried: u64,
    pub(crate) cached: u64,
    pub(crate) degraded: u64,
    pub(crate) scored_items: u64,
    /// Answers by model version.
    pub(crate) versions: BTreeMap<String, u64>,
}

/// Takes outcomes until nobody sends any more.
pub(crate) async fn collect(
    mut outcomes: Receiver<Outcome>,
    deadline: Duration,
) -> Collected {
    let mut collected = Collected::new();
    while let Some(outcome) = outcomes.recv().await {
        collected.add(outcome, deadline);
    }
    collected
}

impl Collected {
    fn new() -> Self {
        Self {
            ok: histogram(),
            in_time: 0,
            refused: histogram(),
            failed: BTreeMap::new(),
            retried: 0,
            cached: 0,
            degraded: 0,
            scored_items: 0,
            versions: BTreeMap::new(),
        }
    }

    fn add(&mut self, outcome: Outcome, deadline: Duration) {
        let latency = outcome.latency;
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.retried += u64::from(outcome.retried);
        match outcome.answer {
            Ok(answer) => {
                self.ok.saturating_record(us);
                self.in_time += u64::from(latency <= deadline);
                self.add_answer(answer);
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                self.refused.saturating_record(us);
            }
            Err(status) => self.add_failure(&status),
        }
    }

    fn add_answer(&mut self, answer: Answer) {
        self.cached += u64::from(answer.cached);
        self.degraded += u64::from(answer.is_degraded());
        self.scored_items += answer.n_scored;
        *self.versions.entry(answer.model_version).or_default() += 1;
    }

    fn add_failure(&mut self, status: &Status) {
        let code = format!("{:?}", status.code());
        let failures = self.failed.entry(code).or_insert_with(|| Failures {
            n: 0,
            first: service::chain(status),
        });
        failures.n += 1;
    }

    /// A sum over the answers, divided by their number.
    pub(crate) fn an_answer(&self, sum: u64) -> f64 {
        sum as f64 / self.ok.len().max(1) as f64
    }
}

/// A histogram of microseconds up to ten minutes, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3)
        .expect("the bounds are in order")
}
