//! Popularity: everybody gets the most frequent items.

use model::metrics::RankingMetrics;

use crate::evaluation::holdout::Holdout;

pub(in crate::evaluation) fn measure(test: Holdout<'_>) -> RankingMetrics {
    let counts = test.histories.popularity();
    let scores: Vec<f32> = counts.into_iter().map(|n| n as f32).collect();
    test.ranked(|_| scores.clone())
}
