//! The durable key-value store under jobs, registry and histories: spaces of keys, and commits that
//! check before they write. Both backends keep the same promise: a commit that returned is there
//! after a restart.

mod embedded;
mod redis;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Settings};

/// A closed set of backends.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Embedded(embedded::Embedded),
    Redis(redis::Redis),
}

/// One entry of a commit: with a value it is set, or expected to be that; without, removed, or
/// expected to be absent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) space: String,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn new(space: &str, key: &str, value: Option<Vec<u8>>) -> Self {
        Self {
            space: space.to_owned(),
            key: key.to_owned(),
            value,
        }
    }
}

/// All or nothing: the writes happen when every check holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) checks: Vec<Entry>,
    pub(crate) writes: Vec<Entry>,
}

impl Store {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        if let Some(path) = settings.store.strip_prefix("embedded:") {
            return embedded::Embedded::open(path.as_ref()).map(Self::Embedded);
        }
        if settings.store.starts_with("redis://") || settings.store.starts_with("unix://") {
            return redis::Redis::open(settings).await.map(Self::Redis);
        }
        // The rest of a URL may hold a password.
        let scheme = settings.store.split(':').next().unwrap_or_default();
        let reason = format!("`{scheme}:…` is neither `embedded:PATH` nor `redis://HOST:PORT`");
        Err(Error::Setting {
            setting: "storage.store",
            reason,
        })
    }

    pub(crate) async fn get(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Embedded(store) => store.get(space, key).await,
            Self::Redis(store) => store.get(space, key).await,
        }
    }

    /// All entries of a space, ascending by key.
    pub(crate) async fn scan(&self, space: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        match self {
            Self::Embedded(store) => store.scan(space).await,
            Self::Redis(store) => store.scan(space).await,
        }
    }

    /// False, and nothing is written, when a check does not hold.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<bool, Error> {
        match self {
            Self::Embedded(store) => store.commit(commit).await,
            Self::Redis(store) => store.commit(&commit).await,
        }
    }
}

/// A value as it is stored.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data becomes JSON")
}

/// A stored value; `what` names it when it is damaged.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt(what, e))
}
