//! Everything that outlives a process: artifacts, jobs, the model registry,
//! histories, and caches that may vanish.
//!
//! No service opens a file, a bucket or a Redis key except through this crate.
//! Two backends keep the same promises: embedded (redb and local files, one
//! process) and Redis (several processes).

// Where things are kept, what can go wrong, and what the time is.
/// The wall clock, in milliseconds.
mod clock;
/// What can go wrong, named by what the caller can do.
mod error;
/// The `[storage]` section of every service.
mod settings;

// What everything below is built on.
/// Keeps calls away from something that fails.
mod breaker;
/// Records with a format number, and lists that survive a bad one.
mod record;
/// The durable key-value store with its two backends.
mod store;

// What is stored.
/// Immutable folders named by the hash of their content.
mod artifacts;
/// What replicas share and may lose.
mod cache;
/// Who interacted with what.
mod histories;
/// Which store this is, and whose the artifacts are.
mod identity;
/// Training jobs and their numbered events.
mod jobs;
/// Model versions and the labels that point to them.
mod registry;

pub use artifacts::{Artifacts, Kind, content_id, is_idle};
pub use cache::Cache;
pub use clock::now_ms;
pub use error::{Error, RefusedUsers};
pub use histories::{Histories, Users, UsersPage};
pub use identity::Ownership;
pub use jobs::{
    Created, JobEvent, JobFilter, JobPage, JobQuery, Jobs, Lane, Ready, Timed,
    Turn,
};
pub use record::Listed;
pub use registry::{Labels, Publication, Registry};
pub use settings::Settings;
pub use store::Order;

use crate::store::Store;

/// Everything that is kept.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Data sets, models, backbones, checkpoints: immutable folders named by
    /// their hash.
    pub artifacts: Artifacts,
    /// Training jobs and their events.
    pub jobs: Jobs,
    /// Model versions and labels.
    pub registry: Registry,
    /// Who interacted with what.
    pub histories: Histories,
    /// Shared between replicas; its loss never makes an answer wrong.
    pub cache: Cache,
    store: Store,
}

impl Storage {
    /// Opens what the settings name. A store that could lose what it
    /// acknowledged is refused.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let store = Store::open(settings).await?;
        Ok(Self {
            artifacts: Artifacts::open(settings)?,
            jobs: Jobs::new(store.clone()),
            registry: Registry::new(store.clone()),
            histories: Histories::new(store.clone(), settings.retention()),
            cache: Cache::open(settings)?,
            store,
        })
    }
}
