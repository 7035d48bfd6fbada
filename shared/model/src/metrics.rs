//! Ranking, and how good a ranking is (REFERENCE: evaluation).

use std::cmp::Ordering;

use domain::Metric;
use serde::{Deserialize, Serialize};

/// Recall@20, Recall@40 and NDCG@100 of one user, or their mean over users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingMetrics {
    /// Hits among the first 20 over min(20, number of true items).
    pub recall_20: f64,
    /// Hits among the first 40 over min(40, number of true items).
    pub recall_40: f64,
    /// Discounted gain of the first 100 over that of the best order.
    pub ndcg_100: f64,
}

impl RankingMetrics {
    /// The quantity that model selection maximises.
    pub fn sum(&self) -> f64 {
        self.recall_20 + self.recall_40 + self.ndcg_100
    }

    /// The value of one of the three metrics.
    pub fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Recall20 => self.recall_20,
            Metric::Recall40 => self.recall_40,
            Metric::Ndcg100 => self.ndcg_100,
        }
    }

    /// Metrics of one user's ranking; `None` for a user without a true item.
    pub fn of(ranking: &[u32], truth: &[u32]) -> Option<Self> {
        if truth.is_empty() {
            return None;
        }
        Some(Self {
            recall_20: recall(ranking, truth, 20),
            recall_40: recall(ranking, truth, 40),
            ndcg_100: normalized_gain(ranking, truth),
        })
    }

    /// The mean of each metric over users; 0 where there are none.
    pub fn mean(users: &[Self]) -> Self {
        Self {
            recall_20: mean(users, |user| user.recall_20),
            recall_40: mean(users, |user| user.recall_40),
            ndcg_100: mean(users, |user| user.ndcg_100),
        }
    }
}

fn mean(users: &[RankingMetrics], metric: fn(&RankingMetrics) -> f64) -> f64 {
    let sum: f64 = users.iter().map(metric).sum();
    sum / users.len().max(1) as f64
}

/// Hits among the first `k` over min(k, number of true items).
fn recall(ranking: &[u32], truth: &[u32], k: usize) -> f64 {
    let first = ranking.iter().take(k);
    let n_hits = first.filter(|item| truth.contains(item)).count();
    n_hits as f64 / k.min(truth.len()) as f64
}

/// Discounted gain of the first [`LONGEST`] over that of the best order.
fn normalized_gain(ranking: &[u32], truth: &[u32]) -> f64 {
    let first = ranking.iter().take(LONGEST).enumerate();
    let hits = first.filter(|(_, item)| truth.contains(item));
    let gain: f64 = hits.map(|(place, _)| discount(place)).sum();
    let n_ideal = truth.len().min(LONGEST);
    let ideal: f64 = (0..n_ideal).map(discount).sum();
    gain / ideal
}

/// What a hit counts at a place, from 0.
fn discount(place: usize) -> f64 {
    1.0 / (place as f64 + 2.0).log2()
}

/// The number of places that the metrics look at.
pub const LONGEST: usize = 100;

/// The best `k` rows that `keep` admits: higher score first, then the lower row
/// (rows are in the order of external ids). Does not sort what it leaves out.
pub fn top_k(
    scores: &[f32],
    k: usize,
    keep: impl Fn(u32) -> bool,
) -> Vec<(u32, f32)> {
    let mut kept: Vec<ScoredRow> = scores
        .iter()
        .enumerate()
        .map(|(row, &score)| (row as u32, score))
        .filter(|(row, _)| keep(*row))
        .collect();
    if kept.len() > k {
        kept.select_nth_unstable_by(k, better_first);
        kept.truncate(k);
    }
    kept.sort_unstable_by(better_first);
    kept
}

/// A row and its score.
type ScoredRow = (u32, f32);

/// Orders rows: the higher score first, then the lower row.
fn better_first(a: &ScoredRow, b: &ScoredRow) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_row_and_excluded_rows_never_appear() {
        let ranking = top_k(&[1.0, 3.0, 3.0, 2.0, 3.0], 3, |row| row != 1);
        assert_eq!(ranking, [(2, 3.0), (4, 3.0), (3, 2.0)]);
        assert_eq!(top_k(&[1.0], 5, |_| true).len(), 1);
    }

    #[test]
    fn recall_divides_by_what_could_be_found() {
        let metrics = RankingMetrics::of(&[5, 1], &[1]).unwrap();
        assert_eq!((metrics.recall_20, metrics.recall_40), (1.0, 1.0));
        assert!((metrics.ndcg_100 - 1.0 / 3f64.log2()).abs() < 1e-12);
        assert_eq!(RankingMetrics::of(&[1], &[]), None);
    }
}
