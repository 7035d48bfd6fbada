//! What a user has interacted with. Knows external ids only: no model, no row
//! number.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::ids::{EventId, ItemId};

/// How far in the future an interaction may be, in milliseconds: later ones
/// would outlive a deletion.
pub const MAX_CLOCK_SKEW_MS: i64 = 5 * 60 * 1_000;

/// One interaction of a user with an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// The item that the user did something with.
    #[serde(rename = "i")]
    pub item: ItemId,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    #[serde(rename = "t")]
    pub at_ms: i64,
    /// Tells events apart; a repeat of the same one changes nothing.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none", default)]
    pub event: Option<EventId>,
}

/// What makes two interactions one event: their ids, or, without ids, item and
/// time.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Event(&'a EventId),
    Place(&'a ItemId, i64),
}

impl Interaction {
    /// Compares by time, then item; the rest makes the order one of its own.
    fn in_order(&self, other: &Self) -> Ordering {
        let key = (self.at_ms, &self.item, &self.event);
        key.cmp(&(other.at_ms, &other.item, &other.event))
    }

    fn identity(&self) -> Identity<'_> {
        self.event
            .as_ref()
            .map_or(Identity::Place(&self.item, self.at_ms), Identity::Event)
    }
}

/// How much of a history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many events of a user are kept, the latest ones.
    pub max_events: usize,
    /// Events older than this are dropped when the user's next event arrives;
    /// `None` keeps all.
    pub max_age_ms: Option<i64>,
}

impl Retention {
    /// Says from when on events are kept, in milliseconds since 1970-01-01 UTC;
    /// `None` keeps all.
    pub fn oldest_ms(self, now_ms: i64) -> Option<i64> {
        self.max_age_ms.map(|age_ms| now_ms.saturating_sub(age_ms))
    }
}

/// All interactions of one user, ascending by (time, item id): the order of a
/// prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    #[serde(rename = "n")]
    interactions: Vec<Interaction>,
    /// The user was deleted at this time; nothing at or before it is ever
    /// accepted again.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none", default)]
    deleted_at_ms: Option<i64>,
}

impl History {
    /// Makes a history of interactions that came with a request instead of from
    /// the store.
    pub fn inline(mut interactions: Vec<Interaction>) -> Self {
        interactions.sort_by(Interaction::in_order);
        Self {
            interactions,
            deleted_at_ms: None,
        }
    }

    /// Joins two histories in the order of time; a deletion of either stays
    /// one.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let interactions =
            [self.interactions.as_slice(), &other.interactions].concat();
        Self {
            deleted_at_ms: self.deleted_at_ms.max(other.deleted_at_ms),
            ..Self::inline(interactions)
        }
    }

    /// Keeps what had happened by a time, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn until(&self, at_ms: i64) -> Self {
        let interactions = self
            .interactions
            .iter()
            .filter(|one| one.at_ms <= at_ms)
            .cloned()
            .collect();
        Self {
            interactions,
            deleted_at_ms: self.deleted_at_ms,
        }
    }

    /// Lists the interactions in the order of a prompt.
    pub fn interactions(&self) -> &[Interaction] {
        &self.interactions
    }

    /// Lists the distinct items, in the order of their latest occurrence.
    pub fn items(&self) -> Vec<&ItemId> {
        let mut seen = HashSet::new();
        let mut latest_first: Vec<&ItemId> = self
            .interactions
            .iter()
            .rev()
            .map(|i| &i.item)
            .filter(|item| seen.insert(*item))
            .collect();
        latest_first.reverse();
        latest_first
    }

    /// True once the user was deleted: a model's row for this user must not be
    /// used.
    pub fn is_deleted(&self) -> bool {
        self.deleted_at_ms.is_some()
    }

    /// Makes a history of what a store keeps of a user.
    pub fn stored(
        interactions: Vec<Interaction>,
        deleted_at_ms: Option<i64>,
    ) -> Self {
        Self {
            deleted_at_ms,
            ..Self::inline(interactions)
        }
    }

    /// Says when the user was deleted, in milliseconds since 1970-01-01 UTC.
    pub fn deleted_at_ms(&self) -> Option<i64> {
        self.deleted_at_ms
    }

    /// Merges another record of the same user in: an event that both have
    /// counts once, and a deletion in either removes what was before it from
    /// both.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        self.deleted_at_ms = self.deleted_at_ms.max(other.deleted_at_ms);
        let deleted_at_ms = self.deleted_at_ms.unwrap_or(i64::MIN);
        self.interactions.retain(|one| one.at_ms > deleted_at_ms);
        let known: HashSet<Identity<'_>> = self
            .interactions
            .iter()
            .map(Interaction::identity)
            .collect();
        let mut missing = Vec::new();
        for event in &other.interactions {
            if event.at_ms > deleted_at_ms && !known.contains(&event.identity())
            {
                missing.push(event.clone());
            }
        }
        self.interactions.extend(missing);
        Self::stored(self.interactions, self.deleted_at_ms)
    }

    /// Merges events in; returns how many of them are new and kept. Repeats,
    /// events from before a deletion, and those that are too old change
    /// nothing. This is what every store of histories does, in its own way.
    pub fn record(
        &mut self,
        events: &[Interaction],
        retention: Retention,
        now_ms: i64,
    ) -> usize {
        let deleted_at_ms = self.deleted_at_ms.unwrap_or(i64::MIN);
        let oldest_ms = retention.oldest_ms(now_ms).unwrap_or(i64::MIN);
        let mut known: HashSet<Identity<'_>> = self
            .interactions
            .iter()
            .map(Interaction::identity)
            .collect();
        let mut new: Vec<Interaction> = Vec::new();
        for event in events {
            let is_kept =
                event.at_ms > deleted_at_ms && event.at_ms >= oldest_ms;
            if is_kept && known.insert(event.identity()) {
                new.push(event.clone());
            }
        }
        if new.is_empty() {
            return 0;
        }

        let mut all = [self.interactions.as_slice(), &new].concat();
        all.retain(|one| one.at_ms >= oldest_ms);
        let mut all = Self::inline(all).interactions;
        all.drain(..all.len().saturating_sub(retention.max_events));
        let new: HashSet<Identity<'_>> =
            new.iter().map(Interaction::identity).collect();
        let is_new = |one: &&Interaction| new.contains(&one.identity());
        let n_new = all.iter().filter(is_new).count();
        self.interactions = all;
        n_new
    }

    /// Forgets everything and leaves a tombstone, which an earlier one never
    /// replaces.
    pub fn delete(&mut self, now_ms: i64) {
        self.interactions.clear();
        self.deleted_at_ms = self.deleted_at_ms.max(Some(now_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Retention = Retention {
        max_events: 100,
        max_age_ms: None,
    };

    fn at(item: &str, at_ms: i64) -> Interaction {
        Interaction {
            item: ItemId::new(item).unwrap(),
            at_ms,
            event: None,
        }
    }

    fn items(history: &History) -> Vec<&str> {
        history.items().into_iter().map(ItemId::as_str).collect()
    }

    #[test]
    fn the_order_is_time_then_item() {
        let mut history = History::default();
        history.record(&[at("c", 2), at("b", 1), at("a", 2)], ALL, 10);
        assert_eq!(items(&history), ["b", "a", "c"]);
    }

    #[test]
    fn a_repeated_event_changes_nothing() {
        let mut history = History::default();
        let event = Interaction {
            event: Some(EventId::new("e1").unwrap()),
            ..at("a", 1)
        };
        assert_eq!(history.record(&[event.clone(), at("b", 2)], ALL, 10), 2);
        assert_eq!(history.record(&[event, at("b", 2)], ALL, 10), 0);
        assert_eq!(history.interactions().len(), 2);
    }

    #[test]
    fn a_late_event_does_not_bring_a_deleted_user_back() {
        let mut history = History::default();
        history.record(&[at("a", 1)], ALL, 10);
        history.delete(5);
        assert_eq!(history.record(&[at("b", 5)], ALL, 10), 0);
        assert_eq!(history.record(&[at("c", 6)], ALL, 10), 1);
        assert!(history.is_deleted());
        assert_eq!(items(&history), ["c"]);
    }

    #[test]
    fn retention_keeps_the_latest_and_the_young() {
        let mut history = History::default();
        let retention = Retention {
            max_events: 2,
            max_age_ms: Some(5),
        };
        let events = [at("a", 1), at("b", 6), at("c", 7), at("d", 8)];
        assert_eq!(history.record(&events, retention, 10), 2);
        assert_eq!(items(&history), ["c", "d"]);
        assert_eq!(history.record(&[at("b", 6)], retention, 10), 0, "no room");
        assert_eq!(history.record(&[at("z", 4)], retention, 10), 0, "too old");
        assert_eq!(items(&history), ["c", "d"]);
    }

    #[test]
    fn two_records_of_a_user_become_one_and_a_deletion_in_either_counts() {
        let mut one = History::default();
        one.record(&[at("a", 1), at("b", 6)], ALL, 10);
        let mut other = History::default();
        other.record(&[at("b", 6), at("c", 4)], ALL, 10);
        let both = one.clone().merged(&other);
        assert_eq!(items(&both), ["a", "c", "b"]);
        assert_eq!(both.interactions().len(), 3);
        other.delete(2);
        other.record(&[at("c", 4)], ALL, 10);
        let both = one.merged(&other);
        assert_eq!(items(&both), ["c", "b"]);
        assert_eq!(both.deleted_at_ms(), Some(2));
    }

    #[test]
    fn a_repeated_item_counts_once_at_its_latest_place() {
        let mut history = History::default();
        history.record(&[at("a", 1), at("b", 2), at("a", 3)], ALL, 10);
        assert_eq!(items(&history), ["b", "a"]);
    }
}
