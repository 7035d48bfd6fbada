//! EASE with the λ that ranks the validation split best.

use domain::{MAX_LIGHT_ITEMS, TrainSpec, ease_lambdas};
use model::Ease;
use model::metrics::RankingMetrics;

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::holdout::Holdout;
use crate::material::corpus::Corpus;

/// A fitted EASE: a baseline, and a job's teacher and partner where it wants
/// these.
#[derive(Debug)]
pub(crate) struct ChosenEase {
    pub(crate) weights: Ease,
    pub(crate) lambda: f64,
    /// How well it ranks the validation split.
    valid: RankingMetrics,
}

impl ChosenEase {
    pub(super) fn measure(&self, test: Holdout<'_>) -> RankingMetrics {
        test.ranked(|user| self.weights.scores(test.history(user)))
    }
}

/// Fits EASE for each λ and keeps the best; `None` where the job wants none, or
/// for a catalogue that is too large for it.
pub(crate) fn choose(
    spec: &TrainSpec,
    corpus: &Corpus,
    progress: &Progress,
) -> Result<Option<ChosenEase>, Error> {
    let n_items = corpus.n_items;
    if !spec.fits_ease(n_items) {
        if spec.wants_ease() {
            tracing::info!(
                n_items,
                MAX_LIGHT_ITEMS,
                "the catalogue is too large for EASE"
            );
        }
        return Ok(None);
    }
    let holdout = Holdout::valid(corpus);
    let mut best: Option<ChosenEase> = None;
    for &lambda in ease_lambdas(!holdout.is_empty()) {
        progress.check()?;
        let Some(weights) = Ease::fit(&corpus.train, n_items, lambda) else {
            continue;
        };
        let valid =
            holdout.ranked(|user| weights.scores(holdout.history(user)));
        let sum = valid.sum();
        tracing::info!(lambda, sum, "EASE tried");
        if best.as_ref().is_none_or(|best| sum > best.valid.sum()) {
            best = Some(ChosenEase {
                weights,
                lambda,
                valid,
            });
        }
    }
    Ok(best)
}
