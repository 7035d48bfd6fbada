//! What happened since the start, for operators: each thing that makes an
//! answer worse than it could be is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Degradation;

use crate::error::Error;

type Counts = BTreeMap<&'static str, u64>;

/// Counts events by their names; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    counts: Arc<Mutex<Counts>>,
}

impl Counters {
    pub(crate) fn add(&self, name: &'static str) {
        *self.lock().entry(name).or_default() += 1;
    }

    /// Counts everything that an answer had to do without.
    pub(crate) fn add_degradations(&self, degradations: &[Degradation]) {
        for degradation in degradations {
            self.add(degradation_name(degradation));
        }
    }

    /// Passes on the result of a call, counted when the call failed.
    pub(crate) fn counted<T>(
        &self,
        result: Result<T, impl Into<Error>>,
    ) -> Result<T, Error> {
        let result = result.map_err(Into::into);
        if let Err(error) = &result {
            self.add(failure_name(error));
        }
        result
    }

    pub(crate) fn all(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn degradation_name(degradation: &Degradation) -> &'static str {
    match degradation {
        Degradation::UnknownUser => "degraded.unknown_user",
        Degradation::UnknownItems(_) => "degraded.unknown_items",
        Degradation::EmptyHistory => "degraded.empty_history",
        Degradation::TruncatedHistory => "degraded.truncated_history",
        Degradation::HistoryStoreUnavailable => {
            "degraded.history_store_unavailable"
        }
        Degradation::FewerThanAsked => "degraded.fewer_than_asked",
        Degradation::FilterRelaxed(_) => "degraded.filter_relaxed",
        Degradation::StaleHistory => "degraded.stale_history",
        Degradation::UnknownCandidates(_) => "degraded.unknown_candidates",
        Degradation::UnknownWords => "degraded.unknown_words",
        Degradation::UnreadableItems(_) => "degraded.unreadable_items",
    }
}

fn failure_name(error: &Error) -> &'static str {
    match error {
        Error::Invalid(_) => "failed.invalid",
        Error::NoModel => "failed.no_model",
        Error::NoSuchModel(_) => "failed.no_such_model",
        Error::NoSuchItem(_) => "failed.no_such_item",
        Error::ReadsNoTexts(_) => "failed.reads_no_texts",
        Error::Unloadable { .. } => "failed.unloadable",
        Error::Overloaded { .. } => "refused.overloaded",
        Error::TooLate => "failed.too_late",
        Error::Broken => "failed.broken",
        Error::HistoryUnavailable(_) => "failed.history_unavailable",
        Error::Storage(_) => "failed.storage",
        Error::ModelStopped => "failed.model_stopped",
    }
}
