//! How good a ranking is and whose it is: the keys under which a model version
//! keeps its metrics.

use std::collections::HashMap;

/// What is measured of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Hits among the first 20 over min(20, number of true items).
    Recall20,
    /// Hits among the first 40 over min(40, number of true items).
    Recall40,
    /// Discounted gain of the first 100 over that of the best order.
    Ndcg100,
}

impl Metric {
    /// All metrics, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Recall20, Self::Recall40, Self::Ndcg100];

    /// Spells the name that reports have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recall20 => "recall@20",
            Self::Recall40 => "recall@40",
            Self::Ndcg100 => "ndcg@100",
        }
    }
}

/// Whose ranking of the test split was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankedBy {
    /// What a scorer serves: the language model, mixed with a light model where
    /// that pays.
    Served,
    /// The language model alone.
    LanguageModel,
    /// The linear model EASE.
    Ease,
    /// EASE that reads the items' texts beside the interactions.
    EaseWithTexts,
    /// The nearest neighbours by cosines between items.
    ItemKnn,
    /// The same list for everybody.
    Popularity,
    /// The language model, as if nobody had a row of their own.
    NewUser,
    /// The language model among the items that nobody has interacted with.
    ColdItems,
    /// What a scorer serves, among the items that nobody has interacted with.
    ColdItemsServed,
    /// The same list for everybody among the items that nobody has interacted
    /// with.
    ColdItemsByPopularity,
}

impl RankedBy {
    /// Who is compared in reports, best first as a rule.
    pub const COMPARED: [Self; 6] = [
        Self::Served,
        Self::LanguageModel,
        Self::EaseWithTexts,
        Self::Ease,
        Self::ItemKnn,
        Self::Popularity,
    ];
    /// The simpler methods that a model must beat.
    pub const BASELINES: [Self; 4] = [
        Self::Popularity,
        Self::ItemKnn,
        Self::Ease,
        Self::EaseWithTexts,
    ];

    /// Names it for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Served => "cllm4rec",
            Self::LanguageModel => "language model",
            Self::Ease => "EASE",
            Self::EaseWithTexts => "EASE with texts",
            Self::ItemKnn => "item-kNN",
            Self::Popularity => "popularity",
            Self::NewUser => "language model, new users",
            Self::ColdItems => "language model, cold items",
            Self::ColdItemsServed => "cllm4rec, cold items",
            Self::ColdItemsByPopularity => "popularity, cold items",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Served => "",
            Self::LanguageModel => "llm_",
            Self::Ease => "ease_",
            Self::EaseWithTexts => "ease_texts_",
            Self::ItemKnn => "knn_",
            Self::Popularity => "popularity_",
            Self::NewUser => "new_user_",
            Self::ColdItems => "cold_",
            Self::ColdItemsServed => "cold_served_",
            Self::ColdItemsByPopularity => "cold_popularity_",
        }
    }

    /// Makes the key of one of its metrics, such as `ease_ndcg@100`.
    pub fn key(self, metric: Metric) -> String {
        format!("{}{}", self.prefix(), metric.name())
    }

    /// Makes the key of how much better the served ranking is, as a share:
    /// `lift_over_ease_ndcg@100`.
    pub fn lift_key(self, metric: Metric) -> String {
        format!("lift_over_{}", self.key(metric))
    }
}

/// A simpler method, and how good its ranking is.
#[derive(Debug, Clone, Copy)]
pub struct SimplerMethod {
    /// Which one.
    pub ranker: RankedBy,
    /// Its NDCG@100 on the test split.
    pub ndcg: f64,
}

/// The best of those that were measured; of equals the simplest.
pub fn best_simpler_method(
    metrics: &HashMap<String, f64>,
) -> Option<SimplerMethod> {
    let mut best: Option<SimplerMethod> = None;
    for ranker in RankedBy::BASELINES {
        let Some(&ndcg) = metrics.get(&ranker.key(Metric::Ndcg100)) else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|best| ndcg.total_cmp(&best.ndcg).is_gt())
        {
            best = Some(SimplerMethod { ranker, ndcg });
        }
    }

    best
}

/// The key of the nearness in the hybrid's light model: over how many places of
/// a history a pair's weight falls to 1/e; absent where all pairs count the
/// same.
pub const HYBRID_NEARNESS: &str = "hybrid_nearness";

/// The key of the light model's weight in the hybrid that validation chose, 0
/// to 1.
pub const HYBRID_WEIGHT: &str = "hybrid_weight";
/// The key of the strength of the texts in the hybrid's light model, β; 0 where
/// it reads none.
pub const HYBRID_TEXT_STRENGTH: &str = "hybrid_text_strength";
/// The key of the λ of the chosen EASE.
pub const EASE_LAMBDA: &str = "ease_lambda";
/// The key of the strength of the texts in the chosen EASE, β; 0 where it reads
/// none.
pub const EASE_TEXT_STRENGTH: &str = "ease_text_strength";

/// The key of how many held-out interactions the version that a job started
/// from had learned from: they were learned from again, not measured on.
pub const LEARNED_BEFORE: &str = "learned_before";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_ones_that_stored_versions_have() {
        assert_eq!(RankedBy::Served.key(Metric::Recall20), "recall@20");
        assert_eq!(
            RankedBy::LanguageModel.key(Metric::Ndcg100),
            "llm_ndcg@100"
        );
        let lift = RankedBy::Popularity.lift_key(Metric::Recall40);
        assert_eq!(lift, "lift_over_popularity_recall@40");
    }
}
