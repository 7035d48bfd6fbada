//! Simpler recommenders on the same split: what a model must beat to be worth
//! its cost. Their settings are chosen on validation.

/// A linear model of which items go together.
pub(crate) mod ease;
/// Items that were taken by the same users as those of the history.
mod item_knn;
/// Everybody gets the most frequent items.
pub(super) mod popularity;

use domain::{RankedBy, TrainSpec};
use model::metrics::RankingMetrics;

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::holdout::Holdout;

use ease::ChosenEase;

/// A baseline's metrics on the test split.
pub(super) struct Baseline {
    pub(super) by: RankedBy,
    pub(super) metrics: RankingMetrics,
}

/// Measures the baselines that the job asks for and that the catalogue is not
/// too large for.
pub(super) fn measure(
    spec: &TrainSpec,
    ease: Option<&ChosenEase>,
    test: Holdout<'_>,
    progress: &Progress,
) -> Result<Vec<Baseline>, Error> {
    let wanted = spec.measured_baselines(test.histories.n_items);
    let mut measured = Vec::new();
    if wanted.contains(&RankedBy::Popularity) {
        measured.push(Baseline {
            by: RankedBy::Popularity,
            metrics: popularity::measure(test),
        });
    }
    progress.check()?;
    if wanted.contains(&RankedBy::ItemKnn) {
        measured.push(Baseline {
            by: RankedBy::ItemKnn,
            metrics: item_knn::measure(test),
        });
    }
    progress.check()?;
    if let Some(ease) = ease
        && wanted.contains(&RankedBy::Ease)
    {
        if let Some(metrics) = ease.measure_blind(test) {
            let by = RankedBy::Ease;
            measured.push(Baseline { by, metrics });
        }
        progress.check()?;
        if ease.has_texts && wanted.contains(&RankedBy::EaseWithTexts) {
            measured.push(Baseline {
                by: RankedBy::EaseWithTexts,
                metrics: ease.measure(test),
            });
        }
    }
    Ok(measured)
}
