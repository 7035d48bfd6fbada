//! One point of a load curve: requests are sent at the times that the rate says, whether or not the
//! ones before have been answered, and their latency counts from those times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use proto::pb;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Status};

use crate::client::{Client, Stub};
use crate::workload::Requests;

/// How a point came out; times in milliseconds from the intended time of sending.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Intended, requests a second.
    rate: f64,
    seconds: f64,
    sent: u64,
    /// Not sent, because too many were waiting for their answers already.
    not_sent: u64,
    /// Not sent, because the scorer was refusing: with `--throttle`.
    held_back: u64,
    /// Answers within the deadline, a second.
    goodput: f64,
    ok: Latencies,
    /// `RESOURCE_EXHAUSTED`.
    refused: Latencies,
    /// All others by code.
    failed: BTreeMap<String, Failures>,
    /// Answers and failures of a second try: the first scorer's connection was gone.
    retried: u64,
    /// Shares of the answers.
    cached: f64,
    degraded: f64,
    /// Item scores computed for an answer, on average.
    scored_items: f64,
    /// Answers by model version.
    versions: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Failures {
    n: u64,
    /// What the first of them says.
    first: String,
}

#[derive(Debug, Serialize)]
struct Latencies {
    n: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latencies {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        let at = |quantile: f64| ms(histogram.value_at_quantile(quantile));
        Self {
            n: histogram.len(),
            mean: (histogram.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

/// What became of a request.
struct Outcome {
    latency: Duration,
    retried: bool,
    answer: Result<Answer, Status>,
}

struct Answer {
    cached: bool,
    degraded: bool,
    scored_items: u64,
    version: String,
}

/// Requests that may be out at once: a bound on this program's memory, far above what a healthy
/// server lets wait.
const MAX_IN_FLIGHT: usize = 20_000;

/// Sends at `rate` for `seconds`; the first `warm_up` of them are not counted.
pub(crate) async fn measure(
    clients: &[Client],
    requests: &mut Requests,
    rate: f64,
    (warm_up, seconds): (f64, f64),
) -> anyhow::Result<Report> {
    let deadline = Duration::from_millis(requests.deadline_ms());
    let (outcomes, collected) = mpsc::channel(MAX_IN_FLIGHT);
    let mut collector = JoinSet::new();
    collector.spawn(collect(collected, deadline));
    let flights = TaskTracker::new();
    let start = Instant::now();
    let (mut sent, mut not_sent, mut held_back) = (0, 0, 0);
    let n_requests = ((warm_up + seconds) * rate) as u64;
    for number in 0..n_requests {
        let intended = start + Duration::from_secs_f64(number as f64 / rate);
        if intended > Instant::now() {
            sleep_until(intended).await;
        }
        let counts = number as f64 / rate >= warm_up;
        let client = |place: u64| &clients[place as usize % clients.len()];
        let (first, other) = (client(number), client(number + 1));
        if !first.may_send() {
            held_back += u64::from(counts);
            continue;
        }
        let request = requests.next();
        if flights.len() >= MAX_IN_FLIGHT {
            not_sent += u64::from(counts);
            continue;
        }
        sent += u64::from(counts);
        let (first, other, outcomes) = (first.clone(), other.stub.clone(), outcomes.clone());
        flights.spawn(async move {
            let (answer, retried) =
                ask([first.stub.clone(), other], request, intended + deadline).await;
            first.hear(&answer);
            if counts {
                let outcome = Outcome {
                    latency: intended.elapsed(),
                    retried,
                    answer: read(answer),
                };
                // The collector ends after the last flight.
                drop(outcomes.send(outcome).await);
            }
        });
    }
    flights.close();
    flights.wait().await;
    drop(outcomes);
    let collected = collector
        .join_next()
        .await
        .context("the collector was started")??;
    Ok(collected.report((rate, seconds), [sent, not_sent, held_back]))
}

/// Asks one scorer and, where it is not there, another: what a client with a gRPC retry policy
/// does. True: the answer is the second one's.
async fn ask(
    [mut first, mut other]: [Stub; 2],
    request: pb::RecommendRequest,
    by: Instant,
) -> (Result<tonic::Response<pb::RecommendResponse>, Status>, bool) {
    let with_deadline = |request: pb::RecommendRequest| {
        let mut request = Request::new(request);
        request.set_timeout(by.saturating_duration_since(Instant::now()));
        request
    };
    match first.recommend(with_deadline(request.clone())).await {
        Err(status) if was_not_taken(&status, by) => {
            (other.recommend(with_deadline(request)).await, true)
        }
        answer => (answer, false),
    }
}

/// A scorer that leaves has refused the call, or its connection was closed before the call was
/// sent, which tonic calls `Cancelled`; it calls a passed deadline so too.
fn was_not_taken(status: &Status, by: Instant) -> bool {
    status.code() == Code::Unavailable || (status.code() == Code::Cancelled && Instant::now() < by)
}

fn read(answer: Result<tonic::Response<pb::RecommendResponse>, Status>) -> Result<Answer, Status> {
    let answer = answer?.into_inner();
    Ok(Answer {
        cached: answer.cached,
        degraded: !answer.degradations.is_empty(),
        scored_items: answer.n_scored.into(),
        version: answer.model_version,
    })
}

struct Collected {
    ok: Histogram<u64>,
    in_time: u64,
    refused: Histogram<u64>,
    failed: BTreeMap<String, Failures>,
    retried: u64,
    cached: u64,
    degraded: u64,
    scored_items: u64,
    versions: BTreeMap<String, u64>,
}

/// Microseconds up to ten minutes, with three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are in order")
}

async fn collect(mut outcomes: mpsc::Receiver<Outcome>, deadline: Duration) -> Collected {
    let mut collected = Collected {
        ok: histogram(),
        in_time: 0,
        refused: histogram(),
        failed: BTreeMap::new(),
        retried: 0,
        cached: 0,
        degraded: 0,
        scored_items: 0,
        versions: BTreeMap::new(),
    };
    while let Some(Outcome {
        latency,
        retried,
        answer,
    }) = outcomes.recv().await
    {
        collected.retried += u64::from(retried);
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        match answer {
            Ok(answer) => {
                collected.ok.saturating_record(us);
                collected.in_time += u64::from(latency <= deadline);
                collected.cached += u64::from(answer.cached);
                collected.degraded += u64::from(answer.degraded);
                collected.scored_items += answer.scored_items;
                *collected.versions.entry(answer.version).or_default() += 1;
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                collected.refused.saturating_record(us)
            }
            Err(status) => {
                let first = || Failures {
                    n: 0,
                    first: service::chain(&status),
                };
                collected
                    .failed
                    .entry(format!("{:?}", status.code()))
                    .or_insert_with(first)
                    .n += 1;
            }
        }
    }
    collected
}

impl Collected {
    fn report(self, (rate, seconds): (f64, f64), [sent, not_sent, held_back]: [u64; 3]) -> Report {
        let share = |n: u64| n as f64 / self.ok.len().max(1) as f64;
        Report {
            rate,
            seconds,
            sent,
            not_sent,
            held_back,
            goodput: self.in_time as f64 / seconds,
            ok: Latencies::of(&self.ok),
            refused: Latencies::of(&self.refused),
            cached: share(self.cached),
            degraded: share(self.degraded),
            scored_items: share(self.scored_items),
            failed: self.failed,
            retried: self.retried,
            versions: self.versions,
        }
    }
}
