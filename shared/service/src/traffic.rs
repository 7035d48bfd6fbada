//! How many calls came in, how long they took and how they ended, method by
//! method: those of the last minute for people who look, all of them for a
//! Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Code, Status};
use tower_layer::Layer;

use crate::access::Access;

/// Stretches that the last minute is made of.
const N_STRETCHES: usize = 12;
/// How long a stretch is.
const STRETCH: Duration = Duration::from_secs(5);

/// The calls of a port's methods; clones count together.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// By the methods' paths.
    methods: Arc<BTreeMap<&'static str, Method>>,
    start: Instant,
    /// All calls since the start.
    ended: Family<EndedLabels, Counter>,
    seconds: Family<MethodLabels, Histogram>,
    under_way: Family<MethodLabels, Gauge>,
}

/// What is counted of a method. Its parts of the families are held here: to find
/// them for each call would take a lock and a hash each.
#[derive(Debug)]
struct Method {
    lately: Mutex<Calls>,
    seconds: Histogram,
    under_way: Gauge,
}

/// Of which calls a number is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    /// `Service/Method`.
    method: &'static str,
    /// The status's name, such as `RESOURCE_EXHAUSTED`.
    code: &'static str,
}

/// Of which method a number is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    /// `Service/Method`.
    method: &'static str,
}

/// Upper ends of the histogram's buckets, in seconds: from a cached list to a
/// training job's lease.
const BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 10.0, 60.0,
];

/// What is known of the calls of a method within the last minute, or since the
/// start where that was later.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodTraffic {
    /// The method's own name, such as `Recommend`.
    pub method: &'static str,
    /// Calls a second.
    pub per_second: f64,
    /// Milliseconds from a call's head to its answer's, of half of the calls,
    /// to a tenth.
    pub median_ms: f64,
    /// Of all but one in a hundred.
    pub p99_ms: f64,
    /// Share of the calls that ended with another status than OK, 0 to 1.
    pub failed: f64,
}

/// The calls of a method, stretch by stretch.
#[derive(Debug)]
struct Calls {
    stretches: [Stretch; N_STRETCHES],
}

/// The calls that ended within a stretch of time.
#[derive(Debug, Clone)]
struct Stretch {
    /// Its number since the start.
    number: u64,
    n_failed: u64,
    /// Calls by how long they took: [`bucket`].
    by_time: [u32; N_BUCKETS],
}

/// Each bucket's times are a tenth longer than those of the one before.
const RATIO: f64 = 1.1;
/// The longest time of the first bucket, in seconds.
const SHORTEST: f64 = 20e-6;
/// As many as reach ten minutes, the longest that a call may take.
const N_BUCKETS: usize = 182;

impl Traffic {
    /// Counts the calls of a port's methods.
    pub fn of(access: Access) -> Self {
        let ended = Family::<EndedLabels, Counter>::default();
        let seconds =
            Family::<MethodLabels, Histogram>::new_with_constructor(|| {
                Histogram::new(BUCKETS)
            });
        let under_way = Family::<MethodLabels, Gauge>::default();
        let mut methods = BTreeMap::new();
        // What nobody has called yet is there, too.
        for (path, _) in access {
            let method = method_of(path);
            drop(ended.get_or_create(&EndedLabels {
                method,
                code: code_name(Code::Ok),
            }));
            let labels = MethodLabels { method };
            let lately = Calls {
                stretches: [const { Stretch::of(0) }; N_STRETCHES],
            };
            let method = Method {
                lately: Mutex::new(lately),
                seconds: seconds.get_or_create(&labels).clone(),
                under_way: under_way.get_or_create(&labels).clone(),
            };
            methods.insert(*path, method);
        }
        Self {
            methods: Arc::new(methods),
            start: Instant::now(),
            ended,
            seconds,
            under_way,
        }
    }

    /// Adds the calls to what is scraped.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cllm4rec_rpc_ended",
            "Calls that ended, by method and status",
            self.ended.clone(),
        );
        registry.register(
            "cllm4rec_rpc_seconds",
            "Time from a call's head to its answer's, in seconds",
            self.seconds.clone(),
        );
        registry.register(
            "cllm4rec_rpc_under_way",
            "Calls whose answer has not begun",
            self.under_way.clone(),
        );
    }

    /// What came in within the last minute, by method; methods that nobody
    /// called are left out.
    pub fn of_last_minute(&self) -> Vec<MethodTraffic> {
        let elapsed = self.start.elapsed();
        let mut of_methods = Vec::new();
        for (path, method) in self.methods.iter() {
            let name = path.rsplit('/').next().unwrap_or(path);
            of_methods.extend(method.calls().lately(name, elapsed));
        }
        of_methods
    }

    /// A method that is counted, and its path as it is written here.
    fn known(&self, path: &str) -> Option<(&'static str, &Method)> {
        let (path, method) = self.methods.get_key_value(path)?;
        Some((*path, method))
    }

    fn count(&self, path: &'static str, took: Duration, code: Code) {
        let Some(method) = self.methods.get(path) else {
            return;
        };
        let ended = EndedLabels {
            method: method_of(path),
            code: code_name(code),
        };
        self.ended.get_or_create(&ended).inc();
        method.seconds.observe(took.as_secs_f64());
        let number = stretch_number(self.start.elapsed());
        let mut calls = method.calls();
        let stretch = calls.at(number);
        stretch.n_failed += u64::from(code != Code::Ok);
        let count = &mut stretch.by_time[bucket(took)];
        *count = count.saturating_add(1);
    }
}

impl Method {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stretch_number(elapsed: Duration) -> u64 {
    elapsed.as_secs() / STRETCH.as_secs()
}

impl Calls {
    /// The stretch with a number; it takes the place of one of a minute ago.
    fn at(&mut self, number: u64) -> &mut Stretch {
        let stretch = &mut self.stretches[number as usize % N_STRETCHES];
        if stretch.number != number {
            *stretch = Stretch::of(number);
        }
        stretch
    }

    /// What came in within the stretches that are not older than a minute.
    fn lately(
        &self,
        method: &'static str,
        elapsed: Duration,
    ) -> Option<MethodTraffic> {
        let now = stretch_number(elapsed);
        let mut sum = Stretch::of(now);
        for stretch in &self.stretches {
            if stretch.number + N_STRETCHES as u64 > now {
                sum.add(stretch);
            }
        }
        let n_calls = sum.n_calls();
        if n_calls == 0 {
            return None;
        }
        // The stretch that is not over counts as far as it has come.
        let before = N_STRETCHES as u64 - 1;
        let first = now.saturating_sub(before) * STRETCH.as_secs();
        let seconds = elapsed.as_secs_f64() - first as f64;
        Some(MethodTraffic {
            method,
            per_second: n_calls as f64 / seconds.max(1.0),
            median_ms: sum.milliseconds(0.5),
            p99_ms: sum.milliseconds(0.99),
            failed: sum.n_failed as f64 / n_calls as f64,
        })
    }
}

impl Stretch {
    const fn of(number: u64) -> Self {
        Self {
            number,
            n_failed: 0,
            by_time: [0; N_BUCKETS],
        }
    }

    fn add(&mut self, other: &Self) {
        self.n_failed += other.n_failed;
        for (sum, n) in self.by_time.iter_mut().zip(other.by_time) {
            *sum = sum.saturating_add(n);
        }
    }

    fn n_calls(&self) -> u64 {
        self.by_time.iter().map(|&n| u64::from(n)).sum()
    }

    /// The time within which a share of the calls ended.
    fn milliseconds(&self, share: f64) -> f64 {
        let wanted = (share * self.n_calls() as f64).ceil().max(1.0) as u64;
        let mut n = 0;
        for (bucket, &of_bucket) in self.by_time.iter().enumerate() {
            n += u64::from(of_bucket);
            if n >= wanted {
                return longest_of(bucket) * 1e3;
            }
        }
        longest_of(N_BUCKETS) * 1e3
    }
}

/// The bucket of a time.
fn bucket(took: Duration) -> usize {
    let ratio = took.as_secs_f64() / SHORTEST;
    let steps = ratio.max(1.0).ln() / RATIO.ln();
    (steps.ceil() as usize).min(N_BUCKETS - 1)
}

/// The longest time of a bucket, in seconds.
fn longest_of(bucket: usize) -> f64 {
    SHORTEST * RATIO.powi(bucket as i32)
}

impl<S> Layer<S> for Traffic {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted {
            inner,
            traffic: self.clone(),
        }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    traffic: Traffic,
}

impl<S, B, R> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let since = Instant::now();
        let known = self.traffic.known(request.uri().path());
        let known = known.map(|(path, method)| {
            (path, UnderWay::new(method.under_way.clone()))
        });
        let answer = self.inner.call(request);
        let Some((path, under_way)) = known else {
            return Box::pin(answer);
        };
        let traffic = self.traffic.clone();
        Box::pin(async move {
            let answer = answer.await?;
            // A call that fails has its status in the head.
            let status = Status::from_header_map(answer.headers());
            let code = status.map_or(Code::Ok, |status| status.code());
            traffic.count(path, since.elapsed(), code);
            drop(under_way);
            Ok(answer)
        })
    }
}

/// A call whose answer has not begun.
struct UnderWay(Gauge);

impl UnderWay {
    fn new(calls: Gauge) -> Self {
        calls.inc();
        Self(calls)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// `Service/Method` of a method's path.
fn method_of(path: &'static str) -> &'static str {
    path.rsplit_once('.').map_or(path, |(_, method)| method)
}

/// A status's name, as gRPC's clients write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = &[("/s/Read", &[]), ("/s/Write", &[])];

    fn milliseconds(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn calls_are_counted_by_method_with_their_times_and_failures() {
        let traffic = Traffic::of(ACCESS);
        assert_eq!(traffic.of_last_minute(), []);
        for n in 1..=100 {
            let code = if n > 90 { Code::NotFound } else { Code::Ok };
            traffic.count("/s/Read", milliseconds(n), code);
        }
        assert!(traffic.known("/s/Nothing").is_none());
        let [read] = &traffic.of_last_minute()[..] else {
            panic!("one method was called");
        };
        assert_eq!(read.method, "Read");
        assert_eq!(read.failed, 0.1);
        assert!((50.0..=55.0).contains(&read.median_ms), "{read:?}");
        assert!((99.0..=108.9).contains(&read.p99_ms), "{read:?}");
        assert!(read.per_second > 1.0, "{read:?}");
    }

    #[test]
    fn what_is_older_than_a_minute_does_not_count() {
        let mut calls = Calls {
            stretches: [const { Stretch::of(0) }; N_STRETCHES],
        };
        calls.at(3).by_time[0] = 60;
        calls.at(14).by_time[0] = 60;
        let at = |seconds| calls.lately("Read", Duration::from_secs(seconds));
        // Stretches 3 to 14, the last of them just over.
        let both = at(74).unwrap();
        assert!((both.per_second - 120.0 / 59.0).abs() < 1e-9, "{both:?}");
        let one = at(75).unwrap();
        assert!((one.per_second - 60.0 / 55.0).abs() < 1e-9, "{one:?}");
        assert_eq!(at(135), None);
    }

    #[test]
    fn any_time_has_a_bucket() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), N_BUCKETS - 1);
        let ten_minutes = Duration::from_secs(600);
        assert!(longest_of(bucket(ten_minutes)) >= 600.0);
    }
}
