//! Versions that could not be loaded: when that was tried, and why it failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::ModelVersion;

use crate::unloadable::Unloadable;

/// A version that could not be loaded is left alone for this long: reading it
/// again costs what the first time did.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// A failure is told for as long as the next try may take to begin and end.
const TOLD_FOR: Duration = Duration::from_secs(60);

/// Remembers failures for a minute; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct FailedLoads {
    failures: Arc<Mutex<HashMap<ModelVersion, Failure>>>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    why: Unloadable,
}

impl FailedLoads {
    /// Logs and remembers that a version could not be loaded.
    pub(super) fn note(&self, version: &ModelVersion, why: &Unloadable) {
        tracing::error!(%version, cause = %why.cause, reason = why.message, "model version not loaded");
        let failure = Failure {
            at: Instant::now(),
            why: why.clone(),
        };
        let mut failures = self.lock();
        failures.retain(|_, failure| failure.at.elapsed() < TOLD_FOR);
        failures.insert(version.clone(), failure);
    }

    /// Why a version could not be loaded, if that was tried so lately that it
    /// is left alone.
    pub(super) fn lately(&self, version: &ModelVersion) -> Option<Unloadable> {
        let failures = self.lock();
        let failure = failures.get(version)?;
        let is_recent = failure.at.elapsed() < RETRY_AFTER;
        is_recent.then(|| failure.why.clone())
    }

    pub(super) fn forget(&self, version: &ModelVersion) {
        self.lock().remove(version);
    }

    pub(super) fn told(&self) -> HashMap<ModelVersion, Unloadable> {
        let failures = self.lock();
        failures
            .iter()
            .filter(|(_, failure)| failure.at.elapsed() < TOLD_FOR)
            .map(|(version, failure)| (version.clone(), failure.why.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModelVersion, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
