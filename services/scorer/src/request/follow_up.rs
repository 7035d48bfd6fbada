//! What a request leaves to be done after it: a stale history to be read again,
//! a live list to be compared with the shadow's. `upkeep` does it, when there
//! is time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::{ItemId, ModelChoice, Query, Recommendation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::histories::HistoryKey;
use crate::versions::loaded::LoadedModel;
use crate::versions::user_share::Trial;

/// Follow-ups that may wait; more are dropped: the next request brings another.
const MAX_WAITING: usize = 256;
/// Ids that comparisons may hold while they wait: 30 MB at most.
const MAX_IDS: usize = 100_000;

/// Takes follow-ups from requests; clones have one queue.
#[derive(Debug, Clone)]
pub(crate) struct FollowUps {
    queue: mpsc::Sender<FollowUp>,
    /// Has one permit for each id that a waiting comparison may hold.
    room: Arc<Semaphore>,
    shadow_share: f64,
}

/// Something that nobody waits for; it keeps no version in memory.
#[derive(Debug)]
pub(crate) enum FollowUp {
    Refresh(StaleHistory),
    Compare(Box<Comparison>),
}

/// A history that was used although it is old, to be read again.
#[derive(Debug)]
pub(crate) struct StaleHistory {
    pub(crate) key: HistoryKey,
    pub(crate) model: Weak<LoadedModel>,
}

/// A live list, to be compared with what the shadow answers.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) query: Query,
    pub(crate) live: Vec<ItemId>,
    pub(crate) took: Duration,
    pub(crate) shadow: Weak<LoadedModel>,
    /// Given back when the comparison is dropped.
    _room: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveAnswer<'a> {
    pub(crate) answer: &'a Recommendation,
    pub(crate) took: Duration,
}

impl FollowUps {
    pub(crate) fn new(shadow_share: f64) -> (Self, mpsc::Receiver<FollowUp>) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let follow_ups = Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_IDS)),
            shadow_share,
        };
        (follow_ups, waiting)
    }

    /// Has a history read again that was used although it is old.
    pub(super) fn refresh(&self, key: HistoryKey, model: &Arc<LoadedModel>) {
        let model = Arc::downgrade(model);
        self.leave(FollowUp::Refresh(StaleHistory { key, model }));
    }

    /// Has the shadow answer the same, for some of the users of `live`.
    pub(super) fn compare(
        &self,
        query: &Query,
        live: LiveAnswer<'_>,
        shadow: &Arc<LoadedModel>,
    ) {
        let user = query.reader.user.as_ref().map_or("", |user| user.as_str());
        let is_for_live = query.reader.model == ModelChoice::live();
        // What comes with new items is too large to be kept until then.
        if !is_for_live || !query.new_items.is_empty() {
            return;
        }
        if !Trial::Shadow.includes(user, self.shadow_share) {
            return;
        }
        let items = &live.answer.items;
        let Some(room) = self.room_for(query.n_ids() + items.len()) else {
            return;
        };
        // The list is compared, not what explains it, which costs twenty states
        // an item.
        let query = Query {
            explain: false,
            ..query.clone()
        };
        let comparison = Comparison {
            query,
            live: items.iter().map(|item| item.item.clone()).collect(),
            took: live.took,
            shadow: Arc::downgrade(shadow),
            _room: room,
        };
        self.leave(FollowUp::Compare(Box::new(comparison)));
    }

    /// Queues a follow-up, or drops it where too many wait.
    fn leave(&self, follow_up: FollowUp) {
        drop(self.queue.try_send(follow_up));
    }

    fn room_for(&self, n_ids: usize) -> Option<OwnedSemaphorePermit> {
        let n_ids = u32::try_from(n_ids).ok()?;
        let room = Arc::clone(&self.room);
        room.try_acquire_many_owned(n_ids).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_that_wait_hold_so_many_ids_and_no_more() {
        let (follow_ups, _waiting) = FollowUps::new(1.0);
        let waiting = follow_ups.room_for(MAX_IDS - 10);
        assert!(
            waiting.is_some()
                && follow_ups.room_for(11).is_none()
                && follow_ups.room_for(10).is_some()
        );
        drop(waiting);
        assert!(follow_ups.room_for(MAX_IDS).is_some());
    }
}
