//! What happened since the start, for operators: each thing that makes an answer worse than it
//! could be is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::Degradation;

use crate::Error;

/// Counts by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Counters {
    pub(crate) fn add(&self, what: &'static str) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(what)
            .or_default() += 1;
    }

    pub(crate) fn degraded(&self, degradations: &[Degradation]) {
        for degradation in degradations {
            self.add(match degradation {
                Degradation::UnknownUser => "degraded.unknown_user",
                Degradation::UnknownItems(_) => "degraded.unknown_items",
                Degradation::EmptyHistory => "degraded.empty_history",
                Degradation::TruncatedHistory => "degraded.truncated_history",
                Degradation::HistoryStoreUnavailable => "degraded.history_store_unavailable",
                Degradation::FewerThanAsked => "degraded.fewer_than_asked",
                Degradation::FilterRelaxed(_) => "degraded.filter_relaxed",
                Degradation::StaleHistory => "degraded.stale_history",
                Degradation::UnknownCandidates(_) => "degraded.unknown_candidates",
            });
        }
    }

    /// What a call comes to, counted when it failed.
    pub(crate) fn counted<T>(&self, answer: Result<T, impl Into<Error>>) -> Result<T, Error> {
        answer
            .map_err(Into::into)
            .inspect_err(|error| self.failed(error))
    }

    fn failed(&self, error: &Error) {
        self.add(match error {
            Error::Invalid(_) => "failed.invalid",
            Error::NoModel => "failed.no_model",
            Error::NoSuchModel(_) => "failed.no_such_model",
            Error::NoSuchItem(_) => "failed.no_such_item",
            Error::Unloadable { .. } => "failed.unloadable",
            Error::Overloaded { .. } => "refused.overloaded",
            Error::TooLate => "failed.too_late",
            Error::Broken => "failed.broken",
            Error::HistoryUnavailable(_) => "failed.history_unavailable",
            Error::Storage(_) => "failed.storage",
            Error::ModelStopped => "failed.model_stopped",
        });
    }

    pub(crate) fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
