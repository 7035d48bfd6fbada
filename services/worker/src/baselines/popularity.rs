//! Popularity: everybody gets the most frequent items.

use model::metrics::RankingMetrics;

use crate::evaluate::Holdout;

/// Ranks by the number of training interactions.
pub(crate) fn measure(test: Holdout<'_>) -> RankingMetrics {
    let counts: Vec<f32> = test
        .corpus
        .popularity()
        .into_iter()
        .map(|n| n as f32)
        .collect();
    test.ranked(|_| counts.clone())
}
