//! One point of a load curve: requests are sent at the times that the rate
//! says, whether or not the ones before have been answered, and their latency
//! counts from those times.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::collect::{Collected, collect};
use crate::flight::{Flight, Outcome};
use crate::report::{Latencies, PointReport};
use crate::requests::Requests;

/// Requests that may be out at once: a bound on this program's memory, far
/// above what a healthy server lets wait.
const MAX_IN_FLIGHT: usize = 20_000;

/// How much is asked, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Seconds at the same rate before the point; their requests are not
    /// counted.
    pub(crate) warm_up: f64,
    /// Seconds whose requests are counted.
    pub(crate) seconds: f64,
}

impl Point {
    /// Sends at the rate, and waits for all answers.
    pub(crate) async fn measure(
        self,
        clients: &[Client],
        requests: &mut Requests,
    ) -> anyhow::Result<PointReport> {
        let (outcomes, collected) = mpsc::channel(MAX_IN_FLIGHT);
        let mut collector = JoinSet::new();
        collector.spawn(collect(collected, requests.deadline()));

        let flights = Flights {
            tracker: TaskTracker::new(),
            outcomes,
        };
        let sent = self.send(clients, requests, &flights).await;
        flights.landed().await;

        let ended = collector.join_next().await;
        let collected = ended.context("the collector was started")??;
        Ok(self.report(&sent, collected))
    }

    /// Sends each request at its time.
    async fn send(
        self,
        clients: &[Client],
        requests: &mut Requests,
        flights: &Flights,
    ) -> Sent {
        let mut sent = Sent::default();
        let n_requests = ((self.warm_up + self.seconds) * self.rate) as u64;
        let start = Instant::now();
        for number in 0..n_requests {
            let seconds = number as f64 / self.rate;
            let intended = start + Duration::from_secs_f64(seconds);
            if intended > Instant::now() {
                sleep_until(intended).await;
            }

            let is_counted = seconds >= self.warm_up;
            let count = u64::from(is_counted);
            let first = in_turn(clients, number);
            if !first.may_send() {
                sent.held_back += count;
                continue;
            }

            let request = requests.next();
            if flights.are_too_many() {
                sent.not_sent += count;
                continue;
            }

            sent.sent += count;
            let flight = Flight {
                request,
                first: first.clone(),
                other: in_turn(clients, number + 1).stub.clone(),
                intended,
                deadline: intended + requests.deadline(),
            };
            flights.start(flight, is_counted);
        }

        sent
    }

    fn report(self, sent: &Sent, collected: Collected) -> PointReport {
        PointReport {
            rate: self.rate,
            seconds: self.seconds,
            sent: sent.sent,
            not_sent: sent.not_sent,
            held_back: sent.held_back,
            goodput: collected.in_time as f64 / self.seconds,
            ok: Latencies::of(&collected.ok),
            refused: Latencies::of(&collected.refused),
            cached: collected.an_answer(collected.cached),
            degraded: collected.an_answer(collected.degraded),
            scored_items: collected.an_answer(collected.scored_items),
            failed: collected.failed,
            retried: collected.retried,
            versions: collected.versions,
        }
    }
}

/// How many of the counted requests were sent, and how many were not and why.
#[derive(Debug, Default)]
struct Sent {
    sent: u64,
    /// Too many were waiting for their answers already.
    not_sent: u64,
    /// The scorer was refusing.
    held_back: u64,
}

fn in_turn(clients: &[Client], number: u64) -> &Client {
    &clients[number as usize % clients.len()]
}

/// The requests that are out.
struct Flights {
    tracker: TaskTracker,
    outcomes: Sender<Outcome>,
}

impl Flights {
    fn are_too_many(&self) -> bool {
        self.tracker.len() >= MAX_IN_FLIGHT
    }

    fn start(&self, flight: Flight, is_counted: bool) {
        let outcomes = self.outcomes.clone();
        self.tracker.spawn(async move {
            let outcome = flight.outcome().await;
            if is_counted {
                // The collector ends after the last flight.
                drop(outcomes.send(outcome).await);
            }
        });
    }

    /// Waits for the last one; the collector hears that there will be no more.
    async fn landed(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
