//! The durable key-value store under jobs, registry and histories: spaces of
//! keys, and commits that check before they write. Both backends keep the same
//! promise: a commit that returned is there after a restart.

/// Keys, values and commits.
mod commit;
/// What both backends agree on about histories.
pub(crate) mod history;

/// The backend for one process: a file on its disk.
mod embedded;
/// Its reads that look at several keys.
mod embedded_reads;
/// Which keys of an index are read.
mod range;
/// The backend for several processes: a Redis.
mod redis;
/// Histories in a Redis.
mod redis_histories;
/// How long a Redis has said nothing.
mod silence;

use domain::{Catalog, History, Interaction, UserId};

use crate::error::Error;
use crate::settings::Settings;
use crate::store::history::{Additions, Users, UsersPage};

pub(crate) use commit::{Commit, Entry, Pair, Place};
pub use range::Order;
pub(crate) use range::Range;

/// A closed set of backends.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Embedded(embedded::Embedded),
    Redis(redis::Redis),
}

impl Store {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        if let Some(path) = settings.store.strip_prefix("embedded:") {
            return embedded::Embedded::open(path.as_ref()).map(Self::Embedded);
        }

        if settings.store.starts_with("redis://")
            || settings.store.starts_with("unix://")
        {
            return redis::Redis::open(settings).await.map(Self::Redis);
        }

        // The rest of a URL may hold a password.
        let scheme = settings.store.split(':').next().unwrap_or_default();
        let reason = format!(
            "`{scheme}:…` is neither `embedded:PATH` nor `redis://HOST:PORT`"
        );
        Err(Error::Setting {
            setting: "storage.store",
            reason,
        })
    }

    pub(crate) async fn get(
        &self,
        space: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Embedded(store) => store.get(space, key).await,
            Self::Redis(store) => store.get(space, key).await,
        }
    }

    /// Reads all entries of a space, ascending by key.
    pub(crate) async fn scan(&self, space: &str) -> Result<Vec<Pair>, Error> {
        match self {
            Self::Embedded(store) => store.scan(space).await,
            Self::Redis(store) => store.scan(space).await,
        }
    }

    /// Reads several keys of a space at once, in the order of `keys`.
    pub(crate) async fn get_many(
        &self,
        space: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }

        match self {
            Self::Embedded(store) => store.get_many(space, keys).await,
            Self::Redis(store) => store.get_many(space, &keys).await,
        }
    }

    /// Reads those of several keys of a space that are there, in the order of
    /// `keys`.
    pub(crate) async fn get_pairs(
        &self,
        space: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Pair>, Error> {
        let values = self.get_many(space, keys.clone()).await?;
        let mut pairs = Vec::new();
        for (key, value) in keys.into_iter().zip(values) {
            if let Some(value) = value {
                pairs.push(Pair { key, value });
            }
        }

        Ok(pairs)
    }

    /// Reads the keys of a space, in no order.
    pub(crate) async fn keys(&self, space: &str) -> Result<Vec<String>, Error> {
        match self {
            Self::Embedded(store) => store.keys(space).await,
            Self::Redis(store) => store.keys(space).await,
        }
    }

    /// Reads a stretch of an index. What it costs follows from its length, not
    /// from the index's.
    pub(crate) async fn range(
        &self,
        index: &str,
        range: Range,
    ) -> Result<Vec<String>, Error> {
        match self {
            Self::Embedded(store) => store.range(index, range).await,
            Self::Redis(store) => store.range(index, &range).await,
        }
    }

    /// Writes all of a commit; false, and nothing is written, when a check does
    /// not hold.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<bool, Error> {
        match self {
            Self::Embedded(store) => store.commit(commit).await,
            Self::Redis(store) => store.commit(&commit).await,
        }
    }

    /// Records interactions; the number of new ones for each entry of the
    /// batch, or why that user's were not recorded.
    pub(crate) async fn record_histories(
        &self,
        additions: Additions,
    ) -> Result<Vec<Result<usize, Error>>, Error> {
        match self {
            Self::Embedded(store) => store.record_histories(additions).await,
            Self::Redis(store) => {
                redis_histories::record(store, &additions).await
            }
        }
    }

    /// Takes events back; returns how many were there.
    pub(crate) async fn forget_events(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        match self {
            Self::Embedded(store) => store.forget_events(catalog, batch).await,
            Self::Redis(store) => {
                redis_histories::forget(store, catalog, batch).await
            }
        }
    }

    /// Reads a user's history; empty for a user that nobody has heard of.
    pub(crate) async fn history(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<History, Error> {
        match self {
            Self::Embedded(store) => store.history(catalog, user).await,
            Self::Redis(store) => {
                redis_histories::read(store, catalog, user).await
            }
        }
    }

    /// Some of the users who have a history. One whose history only an earlier
    /// program has written is there from the next event on.
    pub(crate) async fn users_with_history(
        &self,
        catalog: &Catalog,
        page: &UsersPage,
    ) -> Result<Users, Error> {
        match self {
            Self::Embedded(store) => store.users(catalog, page).await,
            Self::Redis(store) => {
                redis_histories::users(store, catalog, page).await
            }
        }
    }

    /// Forgets a user's history and leaves a tombstone.
    pub(crate) async fn delete_history(
        &self,
        catalog: &Catalog,
        user: &UserId,
        now_ms: i64,
    ) -> Result<(), Error> {
        match self {
            Self::Embedded(store) => {
                store.delete_history(catalog, user, now_ms).await
            }
            Self::Redis(store) => {
                redis_histories::delete(store, catalog, user, now_ms).await
            }
        }
    }
}
