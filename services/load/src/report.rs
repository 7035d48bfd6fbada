//! How a point came out: the line that is printed for it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// How a point came out; times in milliseconds from the intended time of
/// sending.
#[derive(Debug, Serialize)]
pub(crate) struct PointReport {
    /// Requests a second that were intended.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) sent: u64,
    /// Not sent, because too many were waiting for their answers already.
    pub(crate) not_sent: u64,
    /// Not sent, because the scorer was refusing: with `--throttle`.
    pub(crate) held_back: u64,
    /// Answers within the deadline, a second.
    pub(crate) goodput: f64,
    pub(crate) ok: Latencies,
    /// Refusals: `RESOURCE_EXHAUSTED`.
    pub(crate) refused: Latencies,
    /// All other failures by code.
    pub(crate) failed: BTreeMap<String, Failures>,
    /// Answers and failures of a second try: the first scorer's connection was
    /// gone.
    pub(crate) retried: u64,
    /// Share of the answers whose user state was known before.
    pub(crate) cached: f64,
    /// Share of the answers that say something was missing.
    pub(crate) degraded: f64,
    /// Item scores computed for an answer, on average.
    pub(crate) scored_items: f64,
    /// Answers by model version.
    pub(crate) versions: BTreeMap<String, u64>,
}

/// Failures that have the same code.
#[derive(Debug, Serialize)]
pub(crate) struct Failures {
    pub(crate) n: u64,
    /// What the first of them says.
    pub(crate) first: String,
}

/// How long calls took, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    n: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latencies {
    /// Reads them off a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            n: histogram.len(),
            mean: (histogram.mean() / 10.0).round() / 100.0,
            p50: quantile(histogram, 0.5),
            p90: quantile(histogram, 0.9),
            p99: quantile(histogram, 0.99),
            p999: quantile(histogram, 0.999),
            max: milliseconds(histogram.max()),
        }
    }
}

fn quantile(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    milliseconds(histogram.value_at_quantile(quantile))
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e3
}
