//! Popularity: everybody gets the most frequent items.

use model::metrics::RankingMetrics;

use crate::evaluate::Holdout;

/// Ranks by the number of training interactions.
pub(crate) fn measure(test: Holdout<'_>) -> RankingMetrics {
    let mut counts = vec![0.0; test.corpus.n_items];
    test.corpus.train.iter().flatten().for_each(|&item| counts[item as usize] += 1.0);
    test.ranked(|_| counts.clone())
}
