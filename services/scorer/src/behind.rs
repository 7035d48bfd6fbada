//! What is done behind the requests: stale histories are read again, the shadow's lists are compared with the live ones,
//! and a version is warmed before a label moves to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{Inline, ItemId, ModelChoice, ModelVersion, Priority, Query, Reader, Recommendation};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::histories::Place;
use crate::live_model::share_of;
use crate::loaded::Loaded;
use crate::recommend::{Call, Recommender};

/// The requests' end.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    tasks: mpsc::Sender<Task>,
    /// Share of the users whose lists are compared.
    shadow_share: f64,
    report: Arc<Mutex<Option<ShadowReport>>>,
}

/// What waits to be done.
pub(crate) type Tasks = mpsc::Receiver<Task>;

/// Something that nobody waits for.
#[derive(Debug)]
pub(crate) enum Task {
    Refresh(Place, Arc<Loaded>),
    Compare(Box<Comparison>),
}

/// A live list, to be compared.
#[derive(Debug)]
pub(crate) struct Comparison {
    query: Query,
    live: Vec<ItemId>,
    took: Duration,
}

/// Means over the requests that both versions answered.
#[derive(Debug, Clone)]
pub(crate) struct ShadowReport {
    pub(crate) version: ModelVersion,
    pub(crate) n: u64,
    pub(crate) overlap: f64,
    pub(crate) live_ms: f64,
    pub(crate) shadow_ms: f64,
}

/// Tasks that may wait; more are dropped: the next request brings another.
const MAX_TASKS: usize = 256;
/// Between two lines of the log about a shadow.
const TOLD_EVERY: u64 = 1_000;
/// A version is warmed for at most this long before the label moves.
const WARM_FOR: Duration = Duration::from_secs(10);
/// Users whose states are computed at once then.
const WARM_AT_ONCE: usize = 64;
/// A background task may take this long.
const PATIENCE: Duration = Duration::from_secs(5);

impl Behind {
    pub(crate) fn new(shadow_share: f64) -> (Self, Tasks) {
        let (tasks, waiting) = mpsc::channel(MAX_TASKS);
        (Self { tasks, shadow_share, report: Arc::default() }, waiting)
    }

    /// Reads a history again that was used although it is old.
    pub(crate) fn refresh(&self, place: Place, model: &Arc<Loaded>) {
        drop(self.tasks.try_send(Task::Refresh(place, Arc::clone(model))));
    }

    /// Has the shadow answer the same, for some of the users.
    pub(crate) fn compare(&self, query: &Query, answer: &Recommendation, took: Duration) {
        let name = query.reader.user.as_ref().map_or("", |user| user.as_str());
        let is_for_live = matches!(&query.reader.model, ModelChoice::Label(label) if *label == domain::Label::live());
        if self.shadow_share <= 0.0 || !is_for_live || share_of(name) >= self.shadow_share {
            return;
        }
        let live = answer.items.iter().map(|item| item.item.clone()).collect();
        drop(self.tasks.try_send(Task::Compare(Box::new(Comparison { query: query.clone(), live, took }))));
    }

    pub(crate) fn report(&self) -> Option<ShadowReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, version: &ModelVersion, overlap: f64, (live, shadow): (Duration, Duration)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let none = ShadowReport { version: version.clone(), n: 0, overlap: 0.0, live_ms: 0.0, shadow_ms: 0.0 };
        let known = report.take().filter(|report| report.version == *version).unwrap_or(none);
        let n = known.n + 1;
        let mean = |before: f64, latest: f64| before + (latest - before) / n as f64;
        let latest = ShadowReport {
            n,
            overlap: mean(known.overlap, overlap),
            live_ms: mean(known.live_ms, live.as_secs_f64() * 1e3),
            shadow_ms: mean(known.shadow_ms, shadow.as_secs_f64() * 1e3),
            version: known.version,
        };
        if n.is_multiple_of(TOLD_EVERY) {
            let ShadowReport { overlap, live_ms, shadow_ms, .. } = latest;
            tracing::info!(%version, n, overlap, live_ms, shadow_ms, "shadow compared");
        }
        *report = Some(latest);
    }
}

impl Recommender {
    /// Does what waits, one thing after the other, until `shutdown`.
    pub(crate) async fn work_behind_until(&self, mut tasks: Tasks, shutdown: CancellationToken) {
        while let Some(Some(task)) = shutdown.run_until_cancelled(tasks.recv()).await {
            match task {
                Task::Refresh((catalog, user), model) => {
                    let reader = stored(Some(catalog), user, Duration::ZERO);
                    self.know(&reader, &model, Instant::now() + PATIENCE).await;
                }
                Task::Compare(comparison) => self.compare(*comparison).await,
            }
        }
    }

    async fn compare(&self, Comparison { query, live, took }: Comparison) {
        let Some(model) = self.models.shadow() else { return };
        let started = Instant::now();
        let call = nobody(started + PATIENCE);
        match self.answer(&query, &model, &call).await {
            Ok(answer) => {
                let both = answer.items.iter().filter(|item| live.contains(&item.item)).count();
                let overlap = both as f64 / live.len().max(1) as f64;
                self.behind.note(&model.version, overlap, (took, started.elapsed()));
            }
            Err(error) => {
                self.counters.add("shadow.failed");
                tracing::debug!(error = service::chain(&error), "the shadow has no answer");
            }
        }
    }

    /// Computes the states of the users of the last hour, as far as there is time.
    pub(crate) async fn warm(&self, model: &Arc<Loaded>) {
        let until = Instant::now() + WARM_FOR;
        let places: Vec<Place> = self.histories.lately_seen().collect();
        let n = futures::stream::iter(places)
            .map(|(catalog, user)| async move {
                let reader = stored(Some(catalog), user, WARM_FOR * 360);
                Instant::now() < until && self.know(&reader, model, until).await
            })
            .buffer_unordered(WARM_AT_ONCE)
            .filter(|is_known| std::future::ready(*is_known))
            .count()
            .await;
        tracing::info!(version = %model.version, n_users = n, "version warmed");
    }

    /// Has a reader's state at hand; false when that was not possible.
    async fn know(&self, reader: &Reader, model: &Arc<Loaded>, by: Instant) -> bool {
        let known = async {
            let read = self.read(reader, model).await?;
            self.state(&read, model, &nobody(by)).await
        };
        match known.await {
            Ok(_) => true,
            Err(error) => {
                self.counters.add("behind.failed");
                tracing::debug!(error = service::chain(&error), "a state was not computed ahead");
                false
            }
        }
    }
}

/// Nobody waits, and everybody else goes first.
fn nobody(by: Instant) -> Call {
    Call { client: "".into(), by, priority: Priority::Batch }
}

/// A user by the stored history.
fn stored(catalog: Option<domain::Catalog>, user: domain::UserId, max_staleness: Duration) -> Reader {
    let model = ModelChoice::Label(domain::Label::live());
    Reader { user: Some(user), catalog, inline: Inline::Absent, at_ms: None, max_staleness, model }
}
