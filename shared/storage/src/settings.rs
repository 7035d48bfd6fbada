//! Where things are kept.

use std::path::PathBuf;
use std::time::Duration;

use domain::Retention;
use serde::Deserialize;

/// The `[storage]` section of every service.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `embedded:PATH` (one process) or `redis://…` (AOF on, no eviction):
    /// histories, jobs, registry.
    pub store: String,
    /// `redis://…` (LRU, no persistence), or empty: states and rows are then
    /// cached in memory alone.
    pub cache: String,
    /// A folder, or `file:///…`: data sets, models, backbones, checkpoints.
    pub artifacts: String,
    /// Start even though the store may lose what it acknowledged; for
    /// development.
    pub allow_volatile_store: bool,
    /// In front of every Redis key.
    pub key_prefix: String,
    /// How long a store command may take.
    pub store_timeout_ms: u64,
    /// How long a cache command may take before the request goes on without it.
    pub cache_timeout_ms: u64,
    /// How long a cached user state lives.
    pub state_ttl_s: u64,
    /// The latest this many events of a user are kept.
    pub max_events_per_user: usize,
    /// Events older than this are dropped when the user's next event arrives; 0
    /// keeps all.
    pub max_event_age_days: u32,
}

/// Without the URLs, which may hold passwords.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("artifacts", &self.artifacts)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Says how much of a history is kept.
    pub fn retention(&self) -> Retention {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        let max_age_ms = (self.max_event_age_days > 0)
            .then(|| i64::from(self.max_event_age_days) * DAY_MS);
        Retention {
            max_events: self.max_events_per_user,
            max_age_ms,
        }
    }

    /// The folder that artifacts are kept in.
    pub(crate) fn artifact_root(&self) -> PathBuf {
        PathBuf::from(
            self.artifacts
                .strip_prefix("file://")
                .unwrap_or(&self.artifacts),
        )
    }

    pub(crate) fn store_timeout(&self) -> Duration {
        Duration::from_millis(self.store_timeout_ms)
    }

    pub(crate) fn cache_timeout(&self) -> Duration {
        Duration::from_millis(self.cache_timeout_ms)
    }
}

/// Everything below one folder, for tests.
#[cfg(test)]
pub(crate) fn embedded(folder: &std::path::Path) -> Settings {
    Settings {
        store: format!("embedded:{}", folder.join("store.redb").display()),
        cache: String::new(),
        artifacts: folder.join("artifacts").display().to_string(),
        allow_volatile_store: false,
        key_prefix: "test".to_owned(),
        store_timeout_ms: 1_000,
        cache_timeout_ms: 50,
        state_ttl_s: 60,
        max_events_per_user: 100,
        max_event_age_days: 0,
    }
}
