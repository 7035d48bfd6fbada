//! `Recommend`.

use domain::{
    Degradation, History, Interaction, Invalid, ItemId, Label, ModelChoice, Query, Recommendation, Source, TopK, UserId,
};

use crate::convert::{catalog, millis, version_id, version_name};
use crate::pb;
use crate::pb::degradation::Kind;

/// Most inline interactions, and most excluded items: bounds what a client can make the server hold.
const MAX_IDS: usize = 10_000;
/// Items that a request gets when it does not say.
const DEFAULT_K: u32 = 10;

impl TryFrom<pb::RecommendRequest> for Query {
    type Error = Invalid;

    fn try_from(request: pb::RecommendRequest) -> Result<Self, Invalid> {
        use pb::recommend_request::Model;
        let user = Some(request.user_id).filter(|id| !id.is_empty()).map(UserId::new).transpose();
        let user = user.map_err(|invalid| invalid.under("user_id"))?;
        if user.is_none() && request.history.is_empty() {
            return Err(Invalid::one("user_id", "must be given, or `history`, or both"));
        }
        bounded("excluded_item_ids", request.excluded_item_ids.len())?;
        let mut excluded = Vec::with_capacity(request.excluded_item_ids.len());
        for (number, id) in request.excluded_item_ids.into_iter().enumerate() {
            excluded.push(ItemId::new(id).map_err(|invalid| invalid.under(&format!("excluded_item_ids[{number}]")))?);
        }
        let model = match request.model {
            None => ModelChoice::Label(Label::live()),
            Some(Model::Label(label)) => {
                ModelChoice::Label(Label::new(label).map_err(|invalid| invalid.under("label"))?)
            }
            Some(Model::ModelVersion(name)) => ModelChoice::Version(version_id("model_version", &name)?),
        };
        Ok(Self {
            user,
            catalog: if request.catalog.is_empty() { None } else { Some(catalog("catalog", &request.catalog)?) },
            inline: if request.history.is_empty() { None } else { Some(inline_history(request.history)?) },
            k: TopK::new(request.k.unwrap_or(DEFAULT_K) as usize).map_err(|invalid| invalid.under("k"))?,
            exclude_seen: request.exclude_seen.unwrap_or(true),
            excluded,
            model,
        })
    }
}

fn bounded(field: &str, n: usize) -> Result<(), Invalid> {
    if n > MAX_IDS {
        return Err(Invalid::one(field, format!("must hold at most {MAX_IDS}, holds {n}")));
    }
    Ok(())
}

/// Inline interactions as a history; entries without a time keep the order given.
fn inline_history(interactions: Vec<pb::InlineInteraction>) -> Result<History, Invalid> {
    bounded("history", interactions.len())?;
    let mut history = Vec::with_capacity(interactions.len());
    for (number, interaction) in interactions.into_iter().enumerate() {
        let field = |name: &str| format!("history[{number}].{name}");
        let item = ItemId::new(interaction.item_id).map_err(|invalid| invalid.under(&field("item_id")))?;
        let place = i64::try_from(number).unwrap_or(i64::MAX);
        let at_ms = interaction.time.map_or(Ok(place), |time| millis(&field("time"), time))?;
        history.push(Interaction { item, at_ms, event: None });
    }
    Ok(History::inline(history))
}

impl From<Recommendation> for pb::RecommendResponse {
    fn from(recommendation: Recommendation) -> Self {
        let items = (1..).zip(recommendation.items);
        Self {
            items: items
                .map(|(rank, item)| pb::RecommendedItem {
                    item_id: item.item.into(),
                    title: item.title,
                    score: item.score,
                    rank,
                    source: match item.source {
                        Source::Model => pb::recommended_item::Source::Model,
                        Source::CoOccurrence => pb::recommended_item::Source::CoOccurrence,
                        Source::Both => pb::recommended_item::Source::Both,
                    }
                    .into(),
                })
                .collect(),
            model_version: version_name(&recommendation.version),
            history_length: u32::try_from(recommendation.history_length).unwrap_or(u32::MAX),
            cached: recommendation.cached,
            degradations: recommendation.degradations.iter().map(pb::Degradation::from).collect(),
        }
    }
}

impl From<&Degradation> for pb::Degradation {
    fn from(degradation: &Degradation) -> Self {
        let (kind, message) = match degradation {
            Degradation::UnknownUser => {
                (Kind::UnknownUser, "the user has no row in this version; the prompt has no user token".to_owned())
            }
            Degradation::UnknownItems(n) => {
                (Kind::UnknownItems, format!("{n} items of the history are not in this version's catalogue"))
            }
            Degradation::EmptyHistory => (Kind::EmptyHistory, "there is no history to go by".to_owned()),
            Degradation::TruncatedHistory => {
                (Kind::TruncatedHistory, "the prompt holds the latest part of the history only".to_owned())
            }
            Degradation::HistoryStoreUnavailable => (
                Kind::HistoryStoreUnavailable,
                "the store of histories is out of reach; the user's last known history was used".to_owned(),
            ),
            Degradation::FewerThanAsked => (Kind::FewerThanAsked, "fewer items than asked for are left".to_owned()),
        };
        Self { kind: kind.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> pb::RecommendRequest {
        pb::RecommendRequest { user_id: "u".into(), ..Default::default() }
    }

    fn refused(request: pb::RecommendRequest) -> String {
        Query::try_from(request).unwrap_err().0[0].field.clone()
    }

    #[test]
    fn absent_fields_have_defaults() {
        let query = Query::try_from(request()).unwrap();
        assert_eq!((query.k.get(), query.exclude_seen), (10, true));
        assert_eq!(query.model, ModelChoice::Label(Label::live()));
    }

    #[test]
    fn each_malformed_field_is_named() {
        let long = "x".repeat(257);
        let version = |name: &str| Some(pb::recommend_request::Model::ModelVersion(name.to_owned()));
        let inline = |item: &str, nanos| pb::InlineInteraction {
            item_id: item.to_owned(),
            time: Some(prost_types::Timestamp { seconds: 0, nanos }),
        };
        assert_eq!(refused(pb::RecommendRequest::default()), "user_id");
        assert_eq!(refused(pb::RecommendRequest { user_id: long.clone(), ..request() }), "user_id");
        assert_eq!(refused(pb::RecommendRequest { k: Some(0), ..request() }), "k");
        assert_eq!(refused(pb::RecommendRequest { k: Some(1_001), ..request() }), "k");
        let ids = vec!["a".to_owned(), long];
        assert_eq!(refused(pb::RecommendRequest { excluded_item_ids: ids, ..request() }), "excluded_item_ids[1]");
        let ids = vec!["a".to_owned(); 10_001];
        assert_eq!(refused(pb::RecommendRequest { excluded_item_ids: ids, ..request() }), "excluded_item_ids");
        assert_eq!(refused(pb::RecommendRequest { model: version("v1"), ..request() }), "model_version");
        let label = Some(pb::recommend_request::Model::Label("Live!".to_owned()));
        assert_eq!(refused(pb::RecommendRequest { model: label, ..request() }), "label");
        assert_eq!(refused(pb::RecommendRequest { catalog: "..".to_owned(), ..request() }), "catalog");
        assert_eq!(refused(pb::RecommendRequest { history: vec![inline("", 0)], ..request() }), "history[0].item_id");
        assert_eq!(refused(pb::RecommendRequest { history: vec![inline("a", -1)], ..request() }), "history[0].time");
    }
}
