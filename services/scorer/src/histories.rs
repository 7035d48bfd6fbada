//! The history that a request goes by: inline, stored, or remembered while the
//! store is away or younger than the request asks for. What is recorded or
//! deleted goes through here too, so that nothing outdated stays remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{
    Catalog, Degradation, History, Inline, Interaction, Reader, UserId,
};
use storage::{Storage, Users, UsersPage};

use crate::error::Error;

/// How long a history may stand in for the stored one.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// Reads, remembers and records histories; clones share what is remembered.
#[derive(Debug, Clone)]
pub(crate) struct RememberedHistories {
    storage: Storage,
    remembered: moka::sync::Cache<HistoryKey, Remembered>,
}

/// Whose history it is, and over which items.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HistoryKey {
    pub(crate) catalog: Catalog,
    pub(crate) user: UserId,
}

/// A history, and what had to be done without to get it.
#[derive(Debug)]
pub(crate) struct KnownHistory {
    pub(crate) history: Arc<History>,
    /// The user's row may be used: nobody deleted the user.
    pub(crate) row_is_allowed: bool,
    pub(crate) degradations: Vec<Degradation>,
    /// Set when the history was not read for this request, and is to be read
    /// afterwards.
    pub(crate) to_refresh: Option<HistoryKey>,
}

#[derive(Debug, Clone)]
struct Remembered {
    history: Arc<History>,
    read_at: Instant,
}

impl RememberedHistories {
    pub(crate) fn new(storage: Storage, max_bytes: u64) -> Self {
        let remembered = moka::sync::Cache::builder()
            .weigher(entry_bytes)
            .max_capacity(max_bytes)
            .time_to_live(REMEMBERED_FOR)
            .build();
        Self {
            storage,
            remembered,
        }
    }

    /// The history to go by. An unknown history is never passed off as empty,
    /// and a user who may have been deleted is a stranger.
    pub(crate) async fn of(
        &self,
        reader: &Reader,
        catalog: &Catalog,
        by: Instant,
    ) -> Result<KnownHistory, Error> {
        let stored = match &reader.user {
            None => Ok(KnownHistory::of_nobody()),
            Some(user) => {
                let key = HistoryKey {
                    catalog: reader.catalog.as_ref().unwrap_or(catalog).clone(),
                    user: user.clone(),
                };
                let max_staleness = reader.max_staleness;
                self.stored_or_remembered(key, max_staleness, by).await
            }
        };
        let mut known = with_inline(stored, &reader.inline)?;
        if let Some(at_ms) = reader.at_ms {
            known.history = Arc::new(known.history.until(at_ms));
        }
        Ok(known)
    }

    /// Some of the users who have a stored history.
    pub(crate) async fn users(
        &self,
        catalog: &Catalog,
        page: &UsersPage,
    ) -> Result<Users, Error> {
        Ok(self.storage.histories.users(catalog, page).await?)
    }

    async fn stored_or_remembered(
        &self,
        key: HistoryKey,
        max_staleness: Duration,
        by: Instant,
    ) -> Result<KnownHistory, Error> {
        if let Some(remembered) = self.younger_than(&key, max_staleness) {
            return Ok(KnownHistory {
                row_is_allowed: !remembered.is_deleted(),
                history: remembered,
                degradations: vec![Degradation::StaleHistory],
                to_refresh: Some(key),
            });
        }
        let unavailable = match self.read(&key, by).await {
            Ok(history) => {
                let history = Arc::new(history);
                self.remember(key, Arc::clone(&history));
                return Ok(KnownHistory::from_store(history));
            }
            Err(error @ storage::Error::Unavailable { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let Some(remembered) = self.remembered.get(&key) else {
            return Err(Error::HistoryUnavailable(Arc::new(unavailable)));
        };
        Ok(KnownHistory {
            degradations: vec![Degradation::HistoryStoreUnavailable],
            ..KnownHistory::from_store(remembered.history)
        })
    }

    /// A remembered history that is young enough to be used without asking the
    /// store.
    fn younger_than(
        &self,
        key: &HistoryKey,
        max_staleness: Duration,
    ) -> Option<Arc<History>> {
        if max_staleness.is_zero() {
            return None;
        }
        let remembered = self.remembered.get(key)?;
        let is_young = remembered.read_at.elapsed() <= max_staleness;
        is_young.then_some(remembered.history)
    }

    /// Asks the store; one that hangs leaves half of the time to do without it.
    async fn read(
        &self,
        key: &HistoryKey,
        by: Instant,
    ) -> Result<History, storage::Error> {
        let patience = by.saturating_duration_since(Instant::now()) / 2;
        let history = self.storage.histories.of(&key.catalog, &key.user);
        match tokio::time::timeout(patience, history).await {
            Ok(read) => read,
            Err(late) => Err(storage::Error::unavailable("the store")(late)),
        }
    }

    /// Remembers a history, unless a deletion was seen since it was read.
    fn remember(&self, key: HistoryKey, history: Arc<History>) {
        let latest = Remembered {
            history,
            read_at: Instant::now(),
        };
        self.remembered.entry(key).and_upsert_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let before = known.filter(|known| known.history.is_deleted());
            match before {
                Some(deleted) if !latest.history.is_deleted() => deleted,
                Some(_) | None => latest,
            }
        });
    }

    /// The users of the last hour, as far as they are remembered.
    pub(crate) fn lately_seen(&self) -> impl Iterator<Item = HistoryKey> + '_ {
        self.remembered.iter().map(|(key, _)| (*key).clone())
    }

    /// Records interactions; all are stored when this returns. Returns how many
    /// are new and kept.
    pub(crate) async fn record(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        let users = batch.iter().map(|(user, _)| user);
        let _outdated = self.outdated(catalog, users);
        Ok(self.storage.histories.record_all(catalog, batch).await?)
    }

    /// Takes recorded interactions back; returns how many were there.
    pub(crate) async fn forget(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        let users = batch.iter().map(|(user, _)| user);
        let _outdated = self.outdated(catalog, users);
        Ok(self.storage.histories.forget_all(catalog, batch).await?)
    }

    pub(crate) async fn stored(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<History, Error> {
        Ok(self.storage.histories.of(catalog, user).await?)
    }

    /// Deletes a user's history; what is remembered from now on is that it was
    /// deleted.
    pub(crate) async fn delete(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<(), Error> {
        let outdated = self.outdated(catalog, [user]);
        self.storage.histories.delete(catalog, user).await?;
        drop(outdated);
        let deleted = self.storage.histories.of(catalog, user).await?;
        let key = HistoryKey {
            catalog: catalog.clone(),
            user: user.clone(),
        };
        self.remember(key, Arc::new(deleted));
        Ok(())
    }

    /// Forgets what is remembered of these users, now and when the result is
    /// dropped.
    fn outdated<'a>(
        &self,
        catalog: &Catalog,
        users: impl IntoIterator<Item = &'a UserId>,
    ) -> Outdated<'_> {
        let mut keys = Vec::new();
        for user in users {
            keys.push(HistoryKey {
                catalog: catalog.clone(),
                user: user.clone(),
            });
        }
        let outdated = Outdated {
            histories: self,
            keys,
        };
        outdated.forget();
        outdated
    }
}

impl KnownHistory {
    /// Nobody's history, for a request without a user.
    fn of_nobody() -> Self {
        Self {
            history: Arc::default(),
            row_is_allowed: false,
            degradations: Vec::new(),
            to_refresh: None,
        }
    }

    fn from_store(history: Arc<History>) -> Self {
        Self {
            row_is_allowed: !history.is_deleted(),
            history,
            degradations: Vec::new(),
            to_refresh: None,
        }
    }
}

/// The history that came with the request joins the stored one or takes its
/// place.
fn with_inline(
    stored: Result<KnownHistory, Error>,
    inline: &Inline,
) -> Result<KnownHistory, Error> {
    match (inline, stored) {
        (Inline::Absent, stored) => stored,
        (Inline::Beside(inline), stored) => {
            let stored = stored?;
            let joined = stored.history.joined(inline);
            Ok(KnownHistory {
                history: Arc::new(joined),
                ..stored
            })
        }
        (Inline::Instead(inline), Ok(stored)) => Ok(KnownHistory {
            history: Arc::new(inline.clone()),
            ..stored
        }),
        // The stored history is not needed, but nobody knows whether the user
        // was deleted.
        (Inline::Instead(inline), Err(Error::HistoryUnavailable(_))) => {
            Ok(KnownHistory {
                history: Arc::new(inline.clone()),
                row_is_allowed: false,
                degradations: vec![Degradation::HistoryStoreUnavailable],
                to_refresh: None,
            })
        }
        (Inline::Instead(_), Err(error)) => Err(error),
    }
}

fn entry_bytes(_: &HistoryKey, remembered: &Remembered) -> u32 {
    let interactions = remembered.history.interactions();
    let ids = interactions.iter().map(|one| one.item.as_str().len());
    let bytes = 96 + 64 * interactions.len() + ids.sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Users whose stored history is being changed. What is remembered of them is
/// forgotten when this comes, and what was remembered meanwhile when this goes,
/// also where the call is given up: the change may be done even if its answer
/// was lost, and "out of reach" is better than to recommend what was just
/// bought.
struct Outdated<'a> {
    histories: &'a RememberedHistories,
    keys: Vec<HistoryKey>,
}

impl Outdated<'_> {
    fn forget(&self) {
        for key in &self.keys {
            self.histories.remembered.invalidate(key);
        }
    }
}

impl Drop for Outdated<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
