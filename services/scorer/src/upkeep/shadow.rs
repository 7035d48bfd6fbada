//! Compares the lists of the label `shadow` with the live ones that requests
//! got.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::{ItemId, ModelVersion, ScoredItem};

use crate::admission::gate::Call;
use crate::request::follow_up::Comparison;
use crate::request::recommend::Recommender;

/// Comparisons between two lines of the log about a shadow.
const TOLD_EVERY: u64 = 1_000;

/// Means over the requests that both versions answered.
#[derive(Debug, Clone)]
pub(crate) struct ShadowReport {
    pub(crate) version: ModelVersion,
    pub(crate) n_requests: u64,
    /// Share of the live list that is in the shadow's, 0 to 1.
    pub(crate) overlap: f64,
    pub(crate) live_ms: f64,
    pub(crate) shadow_ms: f64,
}

/// The report about the latest shadow, none before the first comparison; clones
/// share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShadowReports {
    latest: Arc<Mutex<Option<ShadowReport>>>,
}

struct Compared {
    overlap: f64,
    live_took: Duration,
    shadow_took: Duration,
}

/// Has the shadow answer what the live version has answered, and reports on
/// both.
pub(super) async fn compare(
    comparison: Comparison,
    recommender: &Recommender,
    reports: &ShadowReports,
    by: Instant,
) {
    let Some(shadow) = comparison.shadow.upgrade() else {
        return;
    };
    let started = Instant::now();
    let call = Call::in_background(by);
    let answer = recommender.answer(&comparison.query, &shadow, &call);
    match call.in_time(answer).await {
        Ok(answer) => {
            let compared = Compared {
                overlap: overlap(&comparison.live, &answer.items),
                live_took: comparison.took,
                shadow_took: started.elapsed(),
            };
            reports.add(&shadow.version, &compared);
        }
        Err(error) => {
            recommender.counters.add("shadow.failed");
            let error = service::chain(&error);
            tracing::debug!(error, "the shadow has no answer");
        }
    }
}

fn overlap(live: &[ItemId], shadow: &[ScoredItem]) -> f64 {
    let both = shadow.iter().filter(|item| live.contains(&item.item));
    both.count() as f64 / live.len().max(1) as f64
}

impl ShadowReports {
    pub(crate) fn latest(&self) -> Option<ShadowReport> {
        self.lock().clone()
    }

    /// Adds a comparison to the report about a version, or begins one.
    fn add(&self, version: &ModelVersion, compared: &Compared) {
        let mut latest = self.lock();
        let known = latest.take().filter(|report| report.version == *version);
        let mut report = known.unwrap_or_else(|| ShadowReport::empty(version));
        report.add(compared);
        if report.n_requests.is_multiple_of(TOLD_EVERY) {
            report.log();
        }
        *latest = Some(report);
    }

    fn lock(&self) -> MutexGuard<'_, Option<ShadowReport>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShadowReport {
    fn empty(version: &ModelVersion) -> Self {
        Self {
            version: version.clone(),
            n_requests: 0,
            overlap: 0.0,
            live_ms: 0.0,
            shadow_ms: 0.0,
        }
    }

    fn add(&mut self, compared: &Compared) {
        self.n_requests += 1;
        let n = self.n_requests as f64;
        let live_ms = compared.live_took.as_secs_f64() * 1e3;
        let shadow_ms = compared.shadow_took.as_secs_f64() * 1e3;
        self.overlap += (compared.overlap - self.overlap) / n;
        self.live_ms += (live_ms - self.live_ms) / n;
        self.shadow_ms += (shadow_ms - self.shadow_ms) / n;
    }

    fn log(&self) {
        let Self {
            version,
            n_requests: n,
            overlap,
            live_ms,
            shadow_ms,
        } = self;
        tracing::info!(%version, n, overlap, live_ms, shadow_ms, "shadow compared");
    }
}
