//! EASE with the λ that ranks the validation split best.

use domain::MAX_LIGHT_ITEMS;
use model::Ease;
use model::metrics::RankingMetrics;

use crate::Error;
use crate::corpus::Corpus;
use crate::evaluate::Holdout;
use crate::progress::Progress;

/// Values of λ that are tried.
const LAMBDAS: [f64; 5] = [50.0, 100.0, 200.0, 500.0, 1000.0];

/// Where there is nothing to choose by.
const UNCHOSEN_LAMBDA: f64 = 200.0;

/// The chosen EASE.
#[derive(Debug)]
pub(crate) struct ChosenEase {
    pub(crate) weights: Ease,
    pub(crate) lambda: f64,
    /// On validation.
    pub(crate) valid: RankingMetrics,
}

impl ChosenEase {
    /// Its metrics on the test split.
    pub(super) fn measure(&self, test: Holdout<'_>) -> RankingMetrics {
        test.ranked(|user| self.weights.scores(test.history(user)))
    }
}

/// Fits EASE for each λ and keeps the best; `None` for a catalogue that is too large for it.
pub(crate) fn choose_ease(
    corpus: &Corpus,
    progress: &Progress,
) -> Result<Option<ChosenEase>, Error> {
    if corpus.n_items > MAX_LIGHT_ITEMS {
        tracing::info!(
            n_items = corpus.n_items,
            MAX_LIGHT_ITEMS,
            "the catalogue is too large for EASE"
        );
        return Ok(None);
    }
    let holdout = Holdout::valid(corpus);
    let mut best: Option<ChosenEase> = None;
    let lambdas = if holdout.users().is_empty() {
        &[UNCHOSEN_LAMBDA][..]
    } else {
        &LAMBDAS
    };
    for &lambda in lambdas {
        progress.check()?;
        let Some(weights) = Ease::fit(&corpus.train, corpus.n_items, lambda) else {
            continue;
        };
        let valid = holdout.ranked(|user| weights.scores(holdout.history(user)));
        tracing::info!(lambda, sum = valid.sum(), "EASE tried");
        if best
            .as_ref()
            .is_none_or(|best| valid.sum() > best.valid.sum())
        {
            best = Some(ChosenEase {
                weights,
                lambda,
                valid,
            });
        }
    }
    Ok(best)
}
