//! Simpler recommenders on the same split: what a model must beat to be worth its cost. Their
//! settings are chosen on validation.

mod ease;
mod item_knn;
mod popularity;

use std::collections::BTreeMap;

use domain::{Baselines, MAX_LIGHT_ITEMS};
use model::metrics::RankingMetrics;

pub(crate) use ease::{ChosenEase, choose_ease};
pub(crate) use popularity::measure as popularity;

use crate::Error;
use crate::evaluate::Holdout;
use crate::progress::Progress;

/// Test metrics of the chosen baselines, those that the catalogue is not too large for, under
/// `popularity_…`, `knn_…` and `ease_…`.
pub(crate) fn measure(
    which: Baselines,
    ease: Option<&ChosenEase>,
    test: Holdout<'_>,
    progress: &Progress,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut metrics = BTreeMap::new();
    if which == Baselines::None {
        return Ok(metrics);
    }
    metrics.extend(popularity::measure(test).named("popularity_"));
    if which == Baselines::All && test.corpus.n_items <= MAX_LIGHT_ITEMS {
        progress.check()?;
        metrics.extend(item_knn::measure(test).named("knn_"));
    }
    progress.check()?;
    if let Some(ease) = ease {
        metrics.extend(ease.measure(test).named("ease_"));
        metrics.insert("ease_lambda".to_owned(), ease.lambda);
    }
    Ok(metrics)
}

/// How much better `metrics` are than each baseline's, as a share of the baseline's:
/// `lift_over_ease_ndcg@100`.
pub(crate) fn lifts(
    metrics: &RankingMetrics,
    baselines: &BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let mut lifts = BTreeMap::new();
    for prefix in ["popularity_", "knn_", "ease_"] {
        for (name, value) in metrics.named("") {
            if let Some(baseline) = baselines
                .get(&format!("{prefix}{name}"))
                .filter(|&&baseline| baseline > 0.0)
            {
                lifts.insert(format!("lift_over_{prefix}{name}"), value / baseline - 1.0);
            }
        }
    }
    lifts
}
