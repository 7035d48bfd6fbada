//! Everything that outlives a process: artifacts, jobs, the model registry, histories, and caches
//! that may vanish.
//!
//! No service opens a file, a bucket or a Redis key except through this crate. Two backends keep
//! the same promises: embedded (redb and local files, one process) and Redis (several processes).

mod artifacts;
mod breaker;
mod cache;
mod error;
mod histories;
mod jobs;
mod registry;
mod settings;
mod store;

pub use artifacts::{Artifacts, Kind, content_id};
pub use cache::Cache;
pub use error::Error;
pub use histories::Histories;
pub use jobs::{Created, JobEvent, Jobs};
pub use registry::Registry;
pub use settings::Settings;

use store::Store;

/// All of it.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Data sets, models, backbones, checkpoints: immutable folders named by their hash.
    pub artifacts: Artifacts,
    /// Training jobs and their events.
    pub jobs: Jobs,
    /// Model versions and labels.
    pub registry: Registry,
    /// Who interacted with what.
    pub histories: Histories,
    /// Shared between replicas; its loss never makes an answer wrong.
    pub cache: Cache,
}

impl Storage {
    /// Opens what the settings name. A store that could lose what it acknowledged is refused.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let store = Store::open(settings).await?;
        Ok(Self {
            artifacts: Artifacts::open(settings)?,
            jobs: Jobs::new(store.clone()),
            registry: Registry::new(store.clone()),
            histories: Histories::new(store, settings.retention()),
            cache: Cache::open(settings)?,
        })
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
