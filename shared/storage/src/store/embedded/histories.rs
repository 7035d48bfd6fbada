//! Histories in redb: an entry an event, its key in the order of a prompt. An
//! event costs a look-up and an insertion, whatever is stored already.

use std::collections::HashSet;

use domain::{Catalog, EventId, History, Interaction, ItemId, UserId};
use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::record::{decode, encode};
use crate::store::embedded::file::{ENTRIES, unavailable};
use crate::store::history::{
    Additions, Kept, Users, UsersPage, name, old_record, old_space,
};

/// Catalog, user, time in milliseconds, item, and the event's id or nothing.
type EventKey<'a> = (&'a str, &'a str, i64, &'a str, &'a str);

const EVENTS: TableDefinition<'_, EventKey<'_>, &[u8]> =
    TableDefinition::new("history-events");
/// Ids of events by catalog and user.
const EVENT_IDS: TableDefinition<'_, (&str, &str, &str), ()> =
    TableDefinition::new("history-event-ids");
/// Records of [`About`] by catalog and user.
const ABOUT: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("history-about");

/// What is known of a user beside the events.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct About {
    #[serde(rename = "n", default)]
    n_events: usize,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none", default)]
    deleted_at_ms: Option<i64>,
}

/// Records what is new in one transaction; the number of new events for each
/// entry of the batch, or why that user's were not recorded.
pub(crate) fn record(
    database: &Database,
    additions: &Additions,
) -> Result<Vec<Result<usize, Error>>, Error> {
    let write = database.begin_write().map_err(unavailable)?;
    let mut outcomes = Vec::with_capacity(additions.batch.len());
    let mut tables = Tables::open(&write)?;
    for (user, events) in &additions.batch {
        let mut one = OneUser {
            tables: &mut tables,
            catalog: &additions.catalog,
            user,
        };
        match one.record(events, additions.kept) {
            // One that cannot be read hinders no other.
            Err(error @ Error::Corrupt { .. }) => outcomes.push(Err(error)),
            other => outcomes.push(Ok(other?)),
        }
    }
    drop(tables);
    write.commit().map_err(unavailable)?;
    Ok(outcomes)
}

/// Takes events back in one transaction; returns how many were there.
pub(crate) fn forget(
    database: &Database,
    catalog: &Catalog,
    batch: &[(UserId, Vec<Interaction>)],
) -> Result<usize, Error> {
    let write = database.begin_write().map_err(unavailable)?;
    let mut tables = Tables::open(&write)?;
    let mut n = 0;
    for (user, events) in batch {
        let mut one = OneUser {
            tables: &mut tables,
            catalog,
            user,
        };
        n += one.forget(events)?;
    }
    drop(tables);
    write.commit().map_err(unavailable)?;
    Ok(n)
}

/// Forgets a user's events and remembers when that was.
pub(crate) fn delete(
    database: &Database,
    catalog: &Catalog,
    user: &UserId,
    now_ms: i64,
) -> Result<(), Error> {
    let write = database.begin_write().map_err(unavailable)?;
    let mut tables = Tables::open(&write)?;
    let mut one = OneUser {
        tables: &mut tables,
        catalog,
        user,
    };
    one.delete(now_ms)?;
    drop(tables);
    write.commit().map_err(unavailable)
}

/// Makes the tables, so that they are there when somebody reads.
pub(crate) fn create_tables(write: &WriteTransaction) -> Result<(), Error> {
    Tables::open(write).map(drop)
}

/// Reads a user's history; empty for a user that nobody has heard of.
pub(crate) fn read(
    database: &Database,
    catalog: &Catalog,
    user: &UserId,
) -> Result<History, Error> {
    let read = database.begin_read().map_err(unavailable)?;
    let place = (catalog.as_str(), user.as_str());
    let about = read.open_table(ABOUT).map_err(unavailable)?;
    let about = about_user(&about, place, user)?;
    let events = read.open_table(EVENTS).map_err(unavailable)?;
    let mut interactions = Vec::with_capacity(about.n_events);
    let from = (place.0, place.1, i64::MIN, "", "");
    for entry in events.range(from..).map_err(unavailable)? {
        let (key, _) = entry.map_err(unavailable)?;
        let (of_catalog, of_user, at_ms, item, event) = key.value();
        if (of_catalog, of_user) != place {
            break;
        }
        interactions.push(interaction(user, at_ms, [item, event])?);
    }

    let history = History::stored(interactions, about.deleted_at_ms);
    let entries = read.open_table(ENTRIES).map_err(unavailable)?;
    let old = entries
        .get((old_space(catalog).as_str(), place.1))
        .map_err(unavailable)?;
    match old {
        Some(old) => Ok(history.merged(&old_record(user, old.value())?)),
        None => Ok(history),
    }
}

/// Some of the users who have events, by their ids.
pub(crate) fn users(
    database: &Database,
    catalog: &Catalog,
    page: &UsersPage,
) -> Result<Users, Error> {
    let read = database.begin_read().map_err(unavailable)?;
    let about = read.open_table(ABOUT).map_err(unavailable)?;
    let from = page.from.as_str().max(page.prefix.as_str());
    let from = (catalog.as_str(), from);
    let mut found = Users::default();
    for entry in about.range(from..).map_err(unavailable)? {
        let (key, about) = entry.map_err(unavailable)?;
        let (of_catalog, user) = key.value();
        if of_catalog != catalog.as_str() || !user.starts_with(&page.prefix) {
            break;
        }
        if found.users.len() >= page.most {
            found.next = user.to_owned();
            break;
        }
        // A damaged record, or id, hides no other.
        let Ok(user) = UserId::new(user) else {
            continue;
        };
        let about = decode::<About>(&name(&user), about.value());
        if about.is_ok_and(|about| about.n_events > 0) {
            found.users.push(user);
        }
    }
    Ok(found)
}

fn interaction(
    user: &UserId,
    at_ms: i64,
    [item, event]: [&str; 2],
) -> Result<Interaction, Error> {
    let damaged = |error| Error::corrupt(name(user), error);
    let event = match event {
        "" => None,
        event => Some(EventId::new(event).map_err(damaged)?),
    };
    Ok(Interaction {
        item: ItemId::new(item).map_err(damaged)?,
        at_ms,
        event,
    })
}

fn about_user(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    place: (&str, &str),
    user: &UserId,
) -> Result<About, Error> {
    match table.get(place).map_err(unavailable)? {
        Some(about) => decode(&name(user), about.value()),
        None => Ok(About::default()),
    }
}

/// Everything that a change of a history touches.
struct Tables<'a> {
    entries: Table<'a, (&'static str, &'static str), &'static [u8]>,
    events: Table<'a, EventKey<'static>, &'static [u8]>,
    event_ids: Table<'a, (&'static str, &'static str, &'static str), ()>,
    about: Table<'a, (&'static str, &'static str), &'static [u8]>,
}

impl<'a> Tables<'a> {
    fn open(write: &'a WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            entries: write.open_table(ENTRIES).map_err(unavailable)?,
            events: write.open_table(EVENTS).map_err(unavailable)?,
            event_ids: write.open_table(EVENT_IDS).map_err(unavailable)?,
            about: write.open_table(ABOUT).map_err(unavailable)?,
        })
    }
}

/// A user whose history is being changed.
struct OneUser<'a, 'b> {
    tables: &'a mut Tables<'b>,
    catalog: &'a Catalog,
    user: &'a UserId,
}

/// An event that is stored, to be dropped.
struct StoredEvent {
    at_ms: i64,
    item: String,
    event: String,
}

impl OneUser<'_, '_> {
    fn place(&self) -> (&str, &str) {
        (self.catalog.as_str(), self.user.as_str())
    }

    /// Takes an earlier version's record over, adds what is new, and drops what
    /// is too much; returns how many events are new and kept.
    fn record(
        &mut self,
        events: &[Interaction],
        kept: Kept,
    ) -> Result<usize, Error> {
        let mut about =
            about_user(&self.tables.about, self.place(), self.user)?;
        let taken_over = self.take_over(&mut about, kept)?;
        let added = self.add(events, about.deleted_at_ms, kept.oldest_ms)?;
        if added.is_empty() && !taken_over {
            return Ok(0);
        }

        about.n_events += added.len();
        let dropped = self.trim(about, kept)?;
        about.n_events -= dropped.len();
        self.set_about(about)?;
        let mut n_new = added.len();
        for event in dropped {
            let key = (event.at_ms, event.item, event.event);
            n_new -= usize::from(added.contains(&key));
        }
        Ok(n_new)
    }

    /// Moves the events of an earlier version's record here; false when there
    /// is none.
    fn take_over(
        &mut self,
        about: &mut About,
        kept: Kept,
    ) -> Result<bool, Error> {
        let space = old_space(self.catalog);
        let key = (space.as_str(), self.user.as_str());
        let old = match self.tables.entries.get(key).map_err(unavailable)? {
            Some(old) => old_record(self.user, old.value())?,
            None => return Ok(false),
        };
        self.tables.entries.remove(key).map_err(unavailable)?;
        about.deleted_at_ms = about.deleted_at_ms.max(old.deleted_at_ms());
        let added =
            self.add(old.interactions(), about.deleted_at_ms, kept.oldest_ms)?;
        about.n_events += added.len();
        Ok(true)
    }

    /// Inserts those that are not there yet; returns their keys.
    fn add(
        &mut self,
        events: &[Interaction],
        deleted_at_ms: Option<i64>,
        oldest_ms: Option<i64>,
    ) -> Result<HashSet<(i64, String, String)>, Error> {
        let (catalog, user) = (self.catalog.as_str(), self.user.as_str());
        let mut added = HashSet::new();
        for Interaction { item, at_ms, event } in events {
            let id = event.as_ref().map_or("", EventId::as_str);
            let is_deleted = deleted_at_ms.is_some_and(|then| *at_ms <= then);
            let is_old = oldest_ms.is_some_and(|oldest| *at_ms < oldest);
            if is_deleted || is_old {
                continue;
            }
            if !id.is_empty() {
                let key = (catalog, user, id);
                let known = self.tables.event_ids.insert(key, ());
                if known.map_err(unavailable)?.is_some() {
                    continue;
                }
            }
            let key = (catalog, user, *at_ms, item.as_str(), id);
            let known = self.tables.events.insert(key, [].as_slice());
            if known.map_err(unavailable)?.is_none() {
                added.insert((*at_ms, item.to_string(), id.to_owned()));
            }
        }
        Ok(added)
    }

    /// Drops what was deleted, is too old or too much, the oldest first.
    fn trim(
        &mut self,
        about: About,
        kept: Kept,
    ) -> Result<Vec<StoredEvent>, Error> {
        let excess = about.n_events.saturating_sub(kept.max_events);
        let undeleted_ms = about.deleted_at_ms.map(|ms| ms.saturating_add(1));
        let oldest_ms = kept.oldest_ms.max(undeleted_ms).unwrap_or(i64::MIN);
        let mut dropped = Vec::new();
        for event in self.events()? {
            let event = event?;
            if dropped.len() >= excess && event.at_ms >= oldest_ms {
                break;
            }
            dropped.push(event);
        }
        self.drop_events(&dropped)?;
        Ok(dropped)
    }

    /// All events of the user, the oldest first.
    fn events(
        &self,
    ) -> Result<impl Iterator<Item = Result<StoredEvent, Error>>, Error> {
        let (catalog, user) = (self.catalog.as_str(), self.user.as_str());
        let from = (catalog, user, i64::MIN, "", "");
        let range = self.tables.events.range(from..).map_err(unavailable)?;
        let (catalog, user) = (catalog.to_owned(), user.to_owned());
        Ok(range.map_while(move |entry| {
            let (key, _) = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(unavailable(error))),
            };
            let (of_catalog, of_user, at_ms, item, event) = key.value();
            let is_own = of_catalog == catalog && of_user == user;
            is_own.then(|| {
                Ok(StoredEvent {
                    at_ms,
                    item: item.to_owned(),
                    event: event.to_owned(),
                })
            })
        }))
    }

    fn drop_events(&mut self, events: &[StoredEvent]) -> Result<(), Error> {
        let (catalog, user) = (self.catalog.as_str(), self.user.as_str());
        for StoredEvent { at_ms, item, event } in events {
            let key = (catalog, user, *at_ms, item.as_str(), event.as_str());
            self.tables.events.remove(key).map_err(unavailable)?;
            if !event.is_empty() {
                let key = (catalog, user, event.as_str());
                self.tables.event_ids.remove(key).map_err(unavailable)?;
            }
        }
        Ok(())
    }

    /// Takes those of the events back that are stored.
    fn forget(&mut self, events: &[Interaction]) -> Result<usize, Error> {
        let (catalog, user) = (self.catalog.as_str(), self.user.as_str());
        let mut stored = Vec::new();
        for Interaction { item, at_ms, event } in events {
            let id = event.as_ref().map_or("", EventId::as_str);
            let key = (catalog, user, *at_ms, item.as_str(), id);
            let found = self.tables.events.get(key).map_err(unavailable)?;
            if found.is_some() {
                stored.push(StoredEvent {
                    at_ms: *at_ms,
                    item: item.to_string(),
                    event: id.to_owned(),
                });
            }
        }
        if stored.is_empty() {
            return Ok(0);
        }
        self.drop_events(&stored)?;
        let mut about =
            about_user(&self.tables.about, self.place(), self.user)?;
        about.n_events = about.n_events.saturating_sub(stored.len());
        self.set_about(about)?;
        Ok(stored.len())
    }

    fn delete(&mut self, now_ms: i64) -> Result<(), Error> {
        let space = old_space(self.catalog);
        let key = (space.as_str(), self.user.as_str());
        self.tables.entries.remove(key).map_err(unavailable)?;
        let events: Result<Vec<_>, _> = self.events()?.collect();
        self.drop_events(&events?)?;
        // A deletion goes through also where this record is damaged.
        let before = about_user(&self.tables.about, self.place(), self.user)
            .unwrap_or_default();
        self.set_about(About {
            n_events: 0,
            deleted_at_ms: before.deleted_at_ms.max(Some(now_ms)),
        })
    }

    fn set_about(&mut self, about: About) -> Result<(), Error> {
        let place = (self.catalog.as_str(), self.user.as_str());
        let record = encode(&about);
        let set = self.tables.about.insert(place, record.as_slice());
        set.map(drop).map_err(unavailable)
    }
}
