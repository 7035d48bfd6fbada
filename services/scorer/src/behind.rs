//! What requests leave to be done behind them: a stale history to be read again, a live list to be
//! compared with the shadow's. `upkeep.rs` does it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use domain::{ItemId, ModelChoice, ModelVersion, Query, Recommendation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::histories::Place;
use crate::live_model::share_of;
use crate::loaded::Loaded;

/// The requests' end.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    tasks: mpsc::Sender<Task>,
    /// One permit for each id that a waiting comparison holds.
    room: Arc<Semaphore>,
    /// Share of the users whose lists are compared.
    shadow_share: f64,
    report: Arc<Mutex<Option<ShadowReport>>>,
}

/// What waits to be done.
pub(crate) type Tasks = mpsc::Receiver<Task>;

/// Something that nobody waits for; it keeps no version in memory.
#[derive(Debug)]
pub(crate) enum Task {
    Refresh(Place, Weak<Loaded>),
    Compare(Box<Comparison>),
}

/// A live list, to be compared.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) query: Query,
    pub(crate) live: Vec<ItemId>,
    pub(crate) took: Duration,
    pub(crate) shadow: Weak<Loaded>,
    /// Given back with it.
    _room: OwnedSemaphorePermit,
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
/// Ids that comparisons may hold while they wait: 30 MB at most.
const MAX_IDS: usize = 100_000;
/// Between two lines of the log about a shadow.
const TOLD_EVERY: u64 = 1_000;

impl Behind {
    pub(crate) fn new(shadow_share: f64) -> (Self, Tasks) {
        let (tasks, waiting) = mpsc::channel(MAX_TASKS);
        (
            Self {
                tasks,
                room: Arc::new(Semaphore::new(MAX_IDS)),
                shadow_share,
                report: Arc::default(),
            },
            waiting,
        )
    }

    /// Reads a history again that was used although it is old.
    pub(crate) fn refresh(&self, place: Place, model: &Arc<Loaded>) {
        drop(
            self.tasks
                .try_send(Task::Refresh(place, Arc::downgrade(model))),
        );
    }

    /// Has the shadow answer the same, for some of the users.
    pub(crate) fn compare(
        &self,
        query: &Query,
        answer: &Recommendation,
        took: Duration,
        shadow: &Arc<Loaded>,
    ) {
        let name = query.reader.user.as_ref().map_or("", |user| user.as_str());
        if query.reader.model != ModelChoice::live()
            || share_of("shadow", name) >= self.shadow_share
        {
            return;
        }
        let Some(room) = self.room_for(query.n_ids() + answer.items.len()) else {
            return;
        };
        let live = answer.items.iter().map(|item| item.item.clone()).collect();
        // The list is compared, not what explains it, which costs twenty states an item.
        let query = Query {
            explain: false,
            ..query.clone()
        };
        let comparison = Comparison {
            query,
            live,
            took,
            shadow: Arc::downgrade(shadow),
            _room: room,
        };
        drop(self.tasks.try_send(Task::Compare(Box::new(comparison))));
    }

    fn room_for(&self, n_ids: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room)
            .try_acquire_many_owned(u32::try_from(n_ids).ok()?)
            .ok()
    }

    pub(crate) fn report(&self) -> Option<ShadowReport> {
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn note(
        &self,
        version: &ModelVersion,
        overlap: f64,
        (live, shadow): (Duration, Duration),
    ) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let none = ShadowReport {
            version: version.clone(),
            n: 0,
            overlap: 0.0,
            live_ms: 0.0,
            shadow_ms: 0.0,
        };
        let known = report
            .take()
            .filter(|report| report.version == *version)
            .unwrap_or(none);
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
            let ShadowReport {
                overlap,
                live_ms,
                shadow_ms,
                ..
            } = latest;
            tracing::info!(%version, n, overlap, live_ms, shadow_ms, "shadow compared");
        }
        *report = Some(latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_that_wait_hold_so_many_ids_and_no_more() {
        let (behind, _tasks) = Behind::new(1.0);
        let waiting = behind.room_for(MAX_IDS - 10);
        assert!(
            waiting.is_some() && behind.room_for(11).is_none() && behind.room_for(10).is_some()
        );
        drop(waiting);
        assert!(behind.room_for(MAX_IDS).is_some());
    }
}
