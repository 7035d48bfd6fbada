//! The history that a request goes by: inline, stored, or remembered while the store is away or
//! younger than the request asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Catalog, Degradation, History, Inline, Interaction, Reader, UserId};
use storage::Storage;

use crate::Error;

/// How long a history may stand in for the stored one.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);

/// Whose history.
pub(crate) type Place = (Catalog, UserId);

/// Reads, remembers and records histories.
#[derive(Debug, Clone)]
pub(crate) struct Histories {
    storage: Storage,
    /// As they were last read.
    remembered: moka::sync::Cache<Place, Remembered>,
}

#[derive(Debug, Clone)]
struct Remembered {
    history: Arc<History>,
    read: Instant,
}

/// A history, and what had to be done without to get it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) history: Arc<History>,
    /// The user's row may be used: nobody deleted the user.
    pub(crate) row_is_allowed: bool,
    pub(crate) degradations: Vec<Degradation>,
    /// It was not read for this request, and is to be read afterwards.
    pub(crate) to_refresh: Option<Place>,
}

/// Users whose stored history is being changed. What is remembered of them is forgotten when this
/// comes, and what was remembered meanwhile when this goes, also where the call is given up: the
/// change may be done even if its answer was lost, and "out of reach" is better than to recommend
/// what was just bought.
struct Outdated<'a> {
    histories: &'a Histories,
    places: Vec<Place>,
}

impl Outdated<'_> {
    fn forget(&self) {
        for place in &self.places {
            self.histories.remembered.invalidate(place);
        }
    }
}

impl Drop for Outdated<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Histories {
    pub(crate) fn new(storage: Storage, max_bytes: u64) -> Self {
        let remembered = moka::sync::Cache::builder()
            .weigher(|_, Remembered { history, .. }: &Remembered| {
                let bytes = 96
                    + history
                        .interactions()
                        .iter()
                        .map(|i| 64 + i.item.as_str().len())
                        .sum::<usize>();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(max_bytes)
            .time_to_live(REMEMBERED_FOR)
            .build();
        Self {
            storage,
            remembered,
        }
    }

    /// The history to go by. An unknown history is never passed off as empty, and a user who may
    /// have been deleted is a stranger.
    pub(crate) async fn of(
        &self,
        reader: &Reader,
        catalog: &Catalog,
        by: Instant,
    ) -> Result<Known, Error> {
        let place = reader.user.clone().map(|user| {
            (
                reader.catalog.clone().unwrap_or_else(|| catalog.clone()),
                user,
            )
        });
        let stored = match place {
            Some(place) => {
                self.stored_or_remembered(place, reader.max_staleness, by)
                    .await
            }
            None => Ok(Known {
                history: Arc::default(),
                row_is_allowed: false,
                degradations: Vec::new(),
                to_refresh: None,
            }),
        };
        let known = match (&reader.inline, stored) {
            (Inline::Absent, stored) => stored?,
            (Inline::Beside(inline), stored) => {
                let stored = stored?;
                Known {
                    history: Arc::new(stored.history.joined(inline)),
                    ..stored
                }
            }
            (Inline::Instead(inline), Ok(stored)) => Known {
                history: Arc::new(inline.clone()),
                ..stored
            },
            (Inline::Instead(inline), Err(Error::HistoryUnavailable(_))) => Known {
                history: Arc::new(inline.clone()),
                row_is_allowed: false,
                degradations: vec![Degradation::HistoryStoreUnavailable],
                to_refresh: None,
            },
            (Inline::Instead(_), Err(error)) => return Err(error),
        };
        Ok(match reader.at_ms {
            Some(at_ms) => Known {
                history: Arc::new(known.history.until(at_ms)),
                ..known
            },
            None => known,
        })
    }

    async fn stored_or_remembered(
        &self,
        place: Place,
        max_staleness: Duration,
        by: Instant,
    ) -> Result<Known, Error> {
        if !max_staleness.is_zero()
            && let Some(remembered) = self.remembered.get(&place)
            && remembered.read.elapsed() <= max_staleness
        {
            return Ok(Known {
                row_is_allowed: !remembered.history.is_deleted(),
                history: remembered.history,
                degradations: vec![Degradation::StaleHistory],
                to_refresh: Some(place),
            });
        }
        // A store that hangs leaves half of the time to do without it.
        let patience = by.saturating_duration_since(Instant::now()) / 2;
        let read =
            tokio::time::timeout(patience, self.storage.histories.of(&place.0, &place.1)).await;
        let read = read.unwrap_or_else(|late| Err(storage::Error::unavailable("the store")(late)));
        let (history, degradations) = match read {
            Ok(history) => (self.remember(place, Arc::new(history)), Vec::new()),
            Err(error @ storage::Error::Unavailable { .. }) => match self.remembered.get(&place) {
                Some(remembered) => (
                    remembered.history,
                    vec![Degradation::HistoryStoreUnavailable],
                ),
                None => return Err(Error::HistoryUnavailable(Arc::new(error))),
            },
            Err(error) => return Err(error.into()),
        };
        Ok(Known {
            row_is_allowed: !history.is_deleted(),
            history,
            degradations,
            to_refresh: None,
        })
    }

    /// Remembers a history, unless a deletion was seen since it was read; returns it.
    fn remember(&self, place: Place, history: Arc<History>) -> Arc<History> {
        let latest = Remembered {
            history: Arc::clone(&history),
            read: Instant::now(),
        };
        self.remembered.entry(place).and_upsert_with(|known| {
            match known.map(moka::Entry::into_value) {
                Some(known) if known.history.is_deleted() && !latest.history.is_deleted() => known,
                Some(_) | None => latest,
            }
        });
        history
    }

    /// The users of the last hour, as far as they are remembered.
    pub(crate) fn lately_seen(&self) -> impl Iterator<Item = Place> + '_ {
        self.remembered.iter().map(|(place, _)| (*place).clone())
    }

    fn outdated<'a>(
        &self,
        catalog: &Catalog,
        users: impl IntoIterator<Item = &'a UserId>,
    ) -> Outdated<'_> {
        let places = users
            .into_iter()
            .map(|user| (catalog.clone(), user.clone()))
            .collect();
        let outdated = Outdated {
            histories: self,
            places,
        };
        outdated.forget();
        outdated
    }

    /// Records interactions; all are stored when this returns. Returns how many were new.
    pub(crate) async fn record(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        /// Users in one commit of the store.
        const USERS_A_COMMIT: usize = 200;
        let mut n_new = 0;
        for part in batch.chunks(USERS_A_COMMIT) {
            let _outdated = self.outdated(catalog, part.iter().map(|(user, _)| user));
            n_new += self.storage.histories.record_all(catalog, part).await?;
        }
        Ok(n_new)
    }

    /// A user's stored history.
    pub(crate) async fn stored(&self, catalog: &Catalog, user: &UserId) -> Result<History, Error> {
        Ok(self.storage.histories.of(catalog, user).await?)
    }

    /// Forgets a user's history.
    pub(crate) async fn delete(&self, catalog: &Catalog, user: &UserId) -> Result<(), Error> {
        let outdated = self.outdated(catalog, [user]);
        self.storage.histories.delete(catalog, user).await?;
        drop(outdated);
        let deleted = self.storage.histories.of(catalog, user).await?;
        self.remember((catalog.clone(), user.clone()), Arc::new(deleted));
        Ok(())
    }
}
