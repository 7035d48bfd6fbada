//! The keys under which a model version keeps its metrics: `domain::RankedBy`
//! names those of the test split, the ones of the validation split are named
//! after them.

use domain::{Metric, RankedBy};
use model::metrics::RankingMetrics;

/// A metric with its key.
pub(super) type Keyed = (String, f64);

/// The metrics of a ranking of the test split.
pub(super) fn tested(by: RankedBy, metrics: &RankingMetrics) -> [Keyed; 3] {
    Metric::ALL.map(|metric| (by.key(metric), metrics.value(metric)))
}

/// The metrics of a ranking of the validation split: `valid_llm_ndcg@100`.
pub(super) fn validated(by: RankedBy, metrics: &RankingMetrics) -> [Keyed; 3] {
    tested(by, metrics).map(|(key, value)| (format!("valid_{key}"), value))
}

/// The metrics of the tables before finetuning: `valid_pretrained_ndcg@100`.
pub(super) fn pretrained(metrics: &RankingMetrics) -> [Keyed; 3] {
    Metric::ALL.map(|metric| {
        let key = format!("valid_pretrained_{}", metric.name());
        (key, metrics.value(metric))
    })
}

/// How much better the served ranking is than a baseline, as a share of the
/// baseline's metrics; nothing where those are 0.
pub(super) fn lifts(
    served: &RankingMetrics,
    baseline: RankedBy,
    metrics: &RankingMetrics,
) -> Vec<Keyed> {
    let mut lifts = Vec::new();
    for metric in Metric::ALL {
        let bar = metrics.value(metric);
        if bar > 0.0 {
            let lift = served.value(metric) / bar - 1.0;
            lifts.push((baseline.lift_key(metric), lift));
        }
    }
    lifts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_ones_that_stored_versions_have() {
        let metrics = RankingMetrics::default();
        assert_eq!(
            tested(RankedBy::NewUser, &metrics)[0].0,
            "new_user_recall@20"
        );
        assert_eq!(
            validated(RankedBy::Served, &metrics)[1].0,
            "valid_recall@40"
        );
        let alone = validated(RankedBy::LanguageModel, &metrics);
        assert_eq!(alone[2].0, "valid_llm_ndcg@100");
        assert_eq!(pretrained(&metrics)[2].0, "valid_pretrained_ndcg@100");
    }

    #[test]
    fn a_lift_is_a_share_of_the_baseline_and_none_over_nothing() {
        let served = RankingMetrics {
            recall_20: 0.3,
            recall_40: 0.3,
            ndcg_100: 0.3,
        };
        let baseline = RankingMetrics {
            recall_20: 0.2,
            ..RankingMetrics::default()
        };
        let lifts = lifts(&served, RankedBy::Ease, &baseline);
        let [(key, lift)] = &lifts[..] else {
            panic!("one lift, not {lifts:?}")
        };
        assert_eq!(key, "lift_over_ease_recall@20");
        assert!((lift - 0.5).abs() < 1e-12);
    }
}
