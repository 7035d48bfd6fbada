//! Answers to `Recommend` and its relatives.

use domain::{
    Degradation, ItemScores, ModelVersion, Reason, Recommendation, ScoredItem,
    Source,
};

use crate::convert::name::version_name;
use crate::convert::page_token::Pages;
use crate::pb;
use crate::pb::degradation::Kind;

impl pb::RecommendResponse {
    /// Encodes the answer to a request; `pages` makes the token for the next
    /// page.
    pub fn of(recommendation: Recommendation, pages: Pages) -> Self {
        let first_rank = count(recommendation.offset).saturating_add(1);
        let next = recommendation.next.map(|page| pages.token(&page));
        Self {
            items: items(first_rank, recommendation.items),
            model_version: version_name(&recommendation.version),
            history_length: count(recommendation.history_length),
            cached: recommendation.cached,
            degradations: degradations(&recommendation.degradations),
            next_page_token: next.unwrap_or_default(),
            n_scored: count(recommendation.n_scored),
        }
    }
}

impl pb::SimilarItemsResponse {
    /// Encodes the items that are most like another.
    pub fn of(alike: Vec<ScoredItem>, version: &ModelVersion) -> Self {
        Self {
            items: items(1, alike),
            model_version: version_name(version),
        }
    }
}

impl From<ItemScores> for pb::ScoreItemsResponse {
    fn from(scores: ItemScores) -> Self {
        use pb::score_items_response::ItemScore;
        let mut encoded = Vec::with_capacity(scores.scores.len());
        for (item, score) in scores.scores {
            encoded.push(ItemScore {
                item_id: item.into(),
                score,
            });
        }

        Self {
            scores: encoded,
            model_version: version_name(&scores.version),
            degradations: degradations(&scores.degradations),
        }
    }
}

fn items(first_rank: u32, items: Vec<ScoredItem>) -> Vec<pb::RecommendedItem> {
    let mut encoded = Vec::with_capacity(items.len());
    for (rank, item) in (first_rank..).zip(items) {
        encoded.push(pb::RecommendedItem {
            item_id: item.item.into(),
            title: item.title,
            score: item.score,
            rank,
            source: pb::recommended_item::Source::from(item.source).into(),
            reasons: item.reasons.into_iter().map(Into::into).collect(),
            query_contribution: item.query_contribution,
        });
    }

    encoded
}

fn degradations(degradations: &[Degradation]) -> Vec<pb::Degradation> {
    degradations.iter().map(pb::Degradation::from).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl From<Reason> for pb::Reason {
    fn from(reason: Reason) -> Self {
        Self {
            item_id: reason.item.into(),
            title: reason.title,
            contribution: reason.contribution,
        }
    }
}

impl From<Source> for pb::recommended_item::Source {
    fn from(source: Source) -> Self {
        match source {
            Source::Model => Self::Model,
            Source::CoOccurrence => Self::CoOccurrence,
            Source::Both => Self::Both,
            Source::ColdStart => Self::ColdStart,
            Source::Popularity => Self::Popularity,
            Source::Query => Self::Query,
        }
    }
}

impl From<&Degradation> for pb::Degradation {
    fn from(degradation: &Degradation) -> Self {
        Self {
            kind: Kind::from(degradation).into(),
            message: message(degradation),
        }
    }
}

impl From<&Degradation> for Kind {
    fn from(degradation: &Degradation) -> Self {
        match degradation {
            Degradation::UnknownUser => Self::UnknownUser,
            Degradation::UnknownItems(_) => Self::UnknownItems,
            Degradation::EmptyHistory => Self::EmptyHistory,
            Degradation::TruncatedHistory => Self::TruncatedHistory,
            Degradation::HistoryStoreUnavailable => {
                Self::HistoryStoreUnavailable
            }
            Degradation::FewerThanAsked => Self::FewerThanAsked,
            Degradation::FilterRelaxed(_) => Self::FilterRelaxed,
            Degradation::StaleHistory => Self::StaleHistory,
            Degradation::UnknownCandidates(_) => Self::UnknownCandidates,
            Degradation::UnknownWords => Self::UnknownWords,
            Degradation::UnreadableItems(_) => Self::UnreadableItems,
        }
    }
}

/// Says for people what was missing.
fn message(degradation: &Degradation) -> String {
    let fixed = match degradation {
        Degradation::UnknownItems(n) => {
            return format!(
                "{n} items of the history are not in this version's catalogue"
            );
        }
        Degradation::FilterRelaxed(n) => {
            return format!(
                "the last {n} items do not pass the filter: too few do"
            );
        }
        Degradation::UnknownCandidates(n) => {
            return format!(
                "{n} candidates are not in this version's catalogue"
            );
        }
        Degradation::UnreadableItems(n) => {
            return format!(
                "this version knows no word of {n} new items: they are ranked as the average item"
            );
        }
        Degradation::UnknownWords => {
            "this version knows no word of the query: it counts for nothing"
        }
        Degradation::UnknownUser => {
            "the user's own token could not be used: there is none, or nobody knows if it may be"
        }
        Degradation::EmptyHistory => "there is no history to go by",
        Degradation::TruncatedHistory => {
            "the prompt holds the latest part of the history only"
        }
        Degradation::HistoryStoreUnavailable => {
            "the store of histories is out of reach; what came with the request or was last known \
             was used"
        }
        Degradation::FewerThanAsked => "fewer items than asked for are left",
        Degradation::StaleHistory => {
            "the history was read before this request, as max_staleness allows"
        }
    };

    fixed.to_owned()
}
