//! `Recommend` and its relatives.

use std::time::Duration;

use domain::{
    Allowed, Degradation, History, Inline, Interaction, Invalid, ItemId, ItemScores, Label, ModelChoice, ModelVersion,
    Page, Priority, Query, Reader, Reason, Recommendation, ScoreQuery, ScoredItem, SimilarQuery, Source, TopK, UserId,
};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::convert::{catalog, millis, version_id, version_name};
use crate::pb;
use crate::pb::degradation::Kind;
use crate::pb::recommend_request::HistoryUse;

/// Most inline interactions, excluded items and candidates: bounds what a client can make the server hold.
const MAX_IDS: usize = 10_000;
/// Items that a request gets when it does not say.
const DEFAULT_K: u32 = 10;
/// Longest filter, in bytes.
const MAX_FILTER: usize = 2_048;
/// Most items of a page that is explained: each costs a backward pass.
const MAX_EXPLAINED: usize = 20;

impl TryFrom<pb::RecommendRequest> for Query {
    type Error = Invalid;

    fn try_from(request: pb::RecommendRequest) -> Result<Self, Invalid> {
        use pb::recommend_request::Model;
        bounded("history", request.history.len())?;
        bounded("excluded_item_ids", request.excluded_item_ids.len())?;
        bounded("candidate_item_ids", request.candidate_item_ids.len())?;
        let digest = digest(&request);
        priority(&request)?;
        let k = top_k(request.k)?;
        if request.explain && k.get() > MAX_EXPLAINED {
            return Err(Invalid::one("k", format!("must be at most {MAX_EXPLAINED} with `explain`, is {}", k.get())));
        }
        let history_use = HistoryUse::try_from(request.history_use)
            .map_err(|_| Invalid::one("history_use", format!("{} is not one of the values", request.history_use)))?;
        let model = match request.model {
            None => None,
            Some(Model::Label(label)) => Some(Choice::Label(label)),
            Some(Model::ModelVersion(name)) => Some(Choice::Version(name)),
        };
        let reader = Reader {
            at_ms: request.at_time.map(|time| millis("at_time", time)).transpose()?,
            max_staleness: request.max_staleness.map_or(Ok(Duration::ZERO), |time| duration("max_staleness", time))?,
            ..reader(request.user_id, (request.history, history_use), &request.catalog, model)?
        };
        let candidates = ids("candidate_item_ids", request.candidate_item_ids)?;
        Ok(Self {
            reader,
            k,
            page: page(&request.page_token, digest)?,
            digest,
            allowed: Allowed {
                exclude_seen: request.exclude_seen.unwrap_or(true),
                excluded: ids("excluded_item_ids", request.excluded_item_ids)?,
                candidates: Some(candidates).filter(|ids| !ids.is_empty()),
                filter: filter(request.filter)?,
                relax_filter: request.relax_filter,
            },
            explain: request.explain,
        })
    }
}

impl TryFrom<pb::ScoreItemsRequest> for ScoreQuery {
    type Error = Invalid;

    fn try_from(request: pb::ScoreItemsRequest) -> Result<Self, Invalid> {
        use pb::score_items_request::Model;
        let model = request.model.map(|model| match model {
            Model::Label(label) => Choice::Label(label),
            Model::ModelVersion(name) => Choice::Version(name),
        });
        let items = ids("item_ids", request.item_ids)?;
        if items.is_empty() {
            return Err(Invalid::one("item_ids", format!("must hold 1 to {MAX_IDS} ids")));
        }
        let history = (request.history, HistoryUse::Replace);
        Ok(Self { reader: reader(request.user_id, history, &request.catalog, model)?, items })
    }
}

impl TryFrom<pb::SimilarItemsRequest> for SimilarQuery {
    type Error = Invalid;

    fn try_from(request: pb::SimilarItemsRequest) -> Result<Self, Invalid> {
        use pb::similar_items_request::Model;
        let model = request.model.map(|model| match model {
            Model::Label(label) => Choice::Label(label),
            Model::ModelVersion(name) => Choice::Version(name),
        });
        Ok(Self {
            item: ItemId::new(request.item_id).map_err(|invalid| invalid.under("item_id"))?,
            k: top_k(request.k)?,
            filter: filter(request.filter)?,
            model: choice(model)?,
        })
    }
}

/// The three requests have a `oneof` of the same two fields each.
enum Choice {
    Label(String),
    Version(String),
}

fn choice(model: Option<Choice>) -> Result<ModelChoice, Invalid> {
    Ok(match model {
        None => ModelChoice::live(),
        Some(Choice::Label(label)) => ModelChoice::Label(Label::new(label).map_err(|invalid| invalid.under("label"))?),
        Some(Choice::Version(name)) => ModelChoice::Version(version_id("model_version", &name)?),
    })
}

fn reader(
    user: String,
    (history, history_use): (Vec<pb::InlineInteraction>, HistoryUse),
    catalog_name: &str,
    model: Option<Choice>,
) -> Result<Reader, Invalid> {
    let user = Some(user).filter(|id| !id.is_empty()).map(UserId::new).transpose();
    let user = user.map_err(|invalid| invalid.under("user_id"))?;
    if user.is_none() && history.is_empty() {
        return Err(Invalid::one("user_id", "must be given, or `history`, or both"));
    }
    let inline = match (history.is_empty(), history_use) {
        (true, _) => Inline::Absent,
        (false, HistoryUse::Unspecified | HistoryUse::Replace) => Inline::Instead(inline_history(history)?),
        (false, HistoryUse::Merge) => {
            if let Some(place) = history.iter().position(|interaction| interaction.time.is_none()) {
                let reason = "must be given with MERGE: it says where the item comes in the stored history";
                return Err(Invalid::one(format!("history[{place}].time"), reason));
            }
            Inline::Beside(inline_history(history)?)
        }
    };
    Ok(Reader {
        user,
        catalog: if catalog_name.is_empty() { None } else { Some(catalog("catalog", catalog_name)?) },
        inline,
        at_ms: None,
        max_staleness: Duration::ZERO,
        model: choice(model)?,
    })
}

/// Who goes first: known before anything else is made of a request.
pub fn priority(request: &pb::RecommendRequest) -> Result<Priority, Invalid> {
    match pb::Priority::try_from(request.priority) {
        Ok(pb::Priority::Unspecified | pb::Priority::Interactive) => Ok(Priority::Interactive),
        Ok(pb::Priority::Batch) => Ok(Priority::Batch),
        Err(_) => Err(Invalid::one("priority", format!("{} is not one of the values", request.priority))),
    }
}

fn top_k(k: Option<u32>) -> Result<TopK, Invalid> {
    TopK::new(k.unwrap_or(DEFAULT_K) as usize).map_err(|invalid| invalid.under("k"))
}

fn ids(field: &str, ids: Vec<String>) -> Result<Vec<ItemId>, Invalid> {
    bounded(field, ids.len())?;
    let id =
        |(number, id): (usize, String)| ItemId::new(id).map_err(|invalid| invalid.under(&format!("{field}[{number}]")));
    ids.into_iter().enumerate().map(id).collect()
}

fn filter(filter: String) -> Result<String, Invalid> {
    if filter.len() > MAX_FILTER {
        return Err(Invalid::one("filter", format!("must be at most {MAX_FILTER} bytes, has {}", filter.len())));
    }
    Ok(filter)
}

fn duration(field: &str, time: prost_types::Duration) -> Result<Duration, Invalid> {
    Duration::try_from(time).map_err(|_| Invalid::one(field, "must not be negative"))
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

/// What a request asks for, without what may differ from page to page.
fn digest(request: &pb::RecommendRequest) -> u64 {
    let same = pb::RecommendRequest {
        page_token: String::new(),
        k: None,
        priority: 0,
        max_staleness: None,
        explain: false,
        ..request.clone()
    };
    let hash = Sha256::digest(same.encode_to_vec());
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// `{version}.{at_ms}.{offset}.{digest}`: opaque to clients.
fn page_token(page: &Page, digest: u64) -> String {
    format!("{}.{}.{}.{digest:016x}", page.version, page.at_ms, page.offset)
}

fn page(token: &str, digest: u64) -> Result<Option<Page>, Invalid> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let mut parts = token.split('.');
        let version = ModelVersion::new(parts.next()?).ok()?;
        let (at_ms, offset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let found = u64::from_str_radix(parts.next()?, 16).ok()?;
        let is_whole = parts.next().is_none() && offset < Page::LAST;
        is_whole.then_some((Page { version, at_ms, offset }, found))
    };
    match read() {
        Some((page, found)) if found == digest => Ok(Some(page)),
        Some(_) => Err(Invalid::one("page_token", "is of another request; only `k` may differ from page to page")),
        None => Err(Invalid::one("page_token", "is no token of an answer; start again without one")),
    }
}

impl pb::RecommendResponse {
    /// The answer to a query with this digest.
    pub fn of(recommendation: Recommendation, digest: u64) -> Self {
        let first_rank = u32::try_from(recommendation.offset).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            items: items(first_rank, recommendation.items),
            model_version: version_name(&recommendation.version),
            history_length: u32::try_from(recommendation.history_length).unwrap_or(u32::MAX),
            cached: recommendation.cached,
            degradations: recommendation.degradations.iter().map(pb::Degradation::from).collect(),
            next_page_token: recommendation.next.map(|page| page_token(&page, digest)).unwrap_or_default(),
            n_scored: u32::try_from(recommendation.n_scored).unwrap_or(u32::MAX),
        }
    }
}

impl pb::SimilarItemsResponse {
    /// The items most like another.
    pub fn of(alike: Vec<ScoredItem>, version: &ModelVersion) -> Self {
        Self { items: items(1, alike), model_version: version_name(version) }
    }
}

impl From<ItemScores> for pb::ScoreItemsResponse {
    fn from(scores: ItemScores) -> Self {
        use pb::score_items_response::ItemScore;
        let score = |(item, score): (ItemId, Option<f32>)| ItemScore { item_id: item.into(), score };
        Self {
            scores: scores.scores.into_iter().map(score).collect(),
            model_version: version_name(&scores.version),
            degradations: scores.degradations.iter().map(pb::Degradation::from).collect(),
        }
    }
}

fn items(first_rank: u32, items: Vec<ScoredItem>) -> Vec<pb::RecommendedItem> {
    let item = |(rank, item): (u32, ScoredItem)| pb::RecommendedItem {
        item_id: item.item.into(),
        title: item.title,
        score: item.score,
        rank,
        source: pb::recommended_item::Source::from(item.source).into(),
        reasons: item.reasons.into_iter().map(Into::into).collect(),
    };
    (first_rank..).zip(items).map(item).collect()
}

impl From<Reason> for pb::Reason {
    fn from(reason: Reason) -> Self {
        Self { item_id: reason.item.into(), title: reason.title, contribution: reason.contribution }
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
        }
    }
}

impl From<&Degradation> for pb::Degradation {
    fn from(degradation: &Degradation) -> Self {
        let (kind, message) = match degradation {
            Degradation::UnknownUser => (
                Kind::UnknownUser,
                "the user's own token could not be used: there is none, or nobody knows if it may be".to_owned(),
            ),
            Degradation::UnknownItems(n) => {
                (Kind::UnknownItems, format!("{n} items of the history are not in this version's catalogue"))
            }
            Degradation::EmptyHistory => (Kind::EmptyHistory, "there is no history to go by".to_owned()),
            Degradation::TruncatedHistory => {
                (Kind::TruncatedHistory, "the prompt holds the latest part of the history only".to_owned())
            }
            Degradation::HistoryStoreUnavailable => (
                Kind::HistoryStoreUnavailable,
                "the store of histories is out of reach; what came with the request or was last known was used"
                    .to_owned(),
            ),
            Degradation::FewerThanAsked => (Kind::FewerThanAsked, "fewer items than asked for are left".to_owned()),
            Degradation::FilterRelaxed(n) => {
                (Kind::FilterRelaxed, format!("the last {n} items do not pass the filter: too few do"))
            }
            Degradation::StaleHistory => {
                (Kind::StaleHistory, "the history was read before this request, as max_staleness allows".to_owned())
            }
            Degradation::UnknownCandidates(n) => {
                (Kind::UnknownCandidates, format!("{n} candidates are not in this version's catalogue"))
            }
        };
        Self { kind: kind.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;
    use std::time::{Duration, Instant};

    fn request() -> pb::RecommendRequest {
        pb::RecommendRequest { user_id: "u".into(), ..Default::default() }
    }

    fn refused(request: pb::RecommendRequest) -> String {
        Query::try_from(request).unwrap_err().0[0].field.clone()
    }

    #[test]
    fn absent_fields_have_defaults() {
        let query = Query::try_from(request()).unwrap();
        assert_eq!((query.k.get(), query.allowed.exclude_seen), (10, true));
        assert_eq!(query.reader.model, ModelChoice::Label(Label::live()));
    }

    #[test]
    fn each_malformed_field_is_named() {
        let long = "x".repeat(257);
        let version = |name: &str| Some(pb::recommend_request::Model::ModelVersion(name.to_owned()));
        let inline = |item: &str, nanos| pb::InlineInteraction {
            item_id: item.to_owned(),
            time: Some(Timestamp { seconds: 0, nanos }),
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

    #[test]
    fn each_new_field_has_its_bounds() {
        let ids = |n: usize| vec!["a".to_owned(); n];
        let timed = |time| vec![pb::InlineInteraction { item_id: "a".into(), time }];
        let wrong = [
            (pb::RecommendRequest { candidate_item_ids: ids(10_001), ..request() }, "candidate_item_ids"),
            (pb::RecommendRequest { candidate_item_ids: vec![String::new()], ..request() }, "candidate_item_ids[0]"),
            (pb::RecommendRequest { filter: "x".repeat(2_049), ..request() }, "filter"),
            (pb::RecommendRequest { explain: true, k: Some(21), ..request() }, "k"),
            (pb::RecommendRequest { history_use: 7, ..request() }, "history_use"),
            (pb::RecommendRequest { priority: -1, ..request() }, "priority"),
            (pb::RecommendRequest { history: timed(None), history_use: 2, ..request() }, "history[0].time"),
            (pb::RecommendRequest { at_time: Some(Timestamp { seconds: 0, nanos: -1 }), ..request() }, "at_time"),
            (
                pb::RecommendRequest {
                    max_staleness: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
                    ..request()
                },
                "max_staleness",
            ),
            (pb::RecommendRequest { at_time: Some(Timestamp { seconds: i64::MAX, nanos: 0 }), ..request() }, "at_time"),
            (pb::RecommendRequest { page_token: "1".into(), ..request() }, "page_token"),
            (pb::RecommendRequest { page_token: "ab12.7.5.0.0".into(), ..request() }, "page_token"),
            (pb::RecommendRequest { page_token: format!("ab12.7.{}.0", Page::LAST), ..request() }, "page_token"),
            (pb::RecommendRequest { history: vec![timed(None).remove(0); 10_001], ..request() }, "history"),
        ];
        for (request, field) in wrong {
            assert_eq!(refused(request), field);
        }
        let good = pb::RecommendRequest {
            candidate_item_ids: ids(10_000),
            excluded_item_ids: ids(10_000),
            filter: "x".repeat(2_048),
            explain: true,
            k: Some(20),
            history: vec![timed(Some(Timestamp::default())).remove(0); 10_000],
            history_use: 2,
            priority: pb::Priority::Batch.into(),
            catalog: "books".into(),
            max_staleness: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..request()
        };
        assert_eq!(priority(&good).unwrap(), Priority::Batch);
        let query = Query::try_from(good).unwrap();
        assert!(matches!(query.reader.inline, Inline::Beside(_)) && query.explain);
        assert_eq!(query.reader.catalog.unwrap().to_string(), "books");
        assert_eq!(query.reader.max_staleness, Duration::from_secs(60));
    }

    #[test]
    fn items_to_score_and_similar_items_have_the_same_bounds() {
        let score = |request: pb::ScoreItemsRequest| ScoreQuery::try_from(request).unwrap_err().0[0].field.clone();
        let items = |n: usize| pb::ScoreItemsRequest {
            user_id: "u".into(),
            item_ids: vec!["a".to_owned(); n],
            ..Default::default()
        };
        assert_eq!((score(items(0)), score(items(10_001))), ("item_ids".to_owned(), "item_ids".to_owned()));
        assert_eq!(score(pb::ScoreItemsRequest { item_ids: vec![String::new()], ..items(0) }), "item_ids[0]");
        assert_eq!(score(pb::ScoreItemsRequest { user_id: String::new(), ..items(1) }), "user_id");
        assert_eq!(score(pb::ScoreItemsRequest { catalog: "..".into(), ..items(1) }), "catalog");
        assert_eq!(ScoreQuery::try_from(items(10_000)).unwrap().items.len(), 10_000);

        let alike = |request: pb::SimilarItemsRequest| SimilarQuery::try_from(request).unwrap_err().0[0].field.clone();
        let of = |item: &str, k| pb::SimilarItemsRequest { item_id: item.into(), k: Some(k), ..Default::default() };
        assert_eq!(
            (alike(of("", 1)), alike(of("a", 0)), alike(of("a", 1_001))),
            ("item_id".into(), "k".into(), "k".into())
        );
        assert_eq!(alike(pb::SimilarItemsRequest { filter: "x".repeat(2_049), ..of("a", 1) }), "filter");
        let label = Some(pb::similar_items_request::Model::Label("Live!".into()));
        assert_eq!(alike(pb::SimilarItemsRequest { model: label, ..of("a", 1) }), "label");
        assert_eq!(SimilarQuery::try_from(of("a", 1_000)).unwrap().k.get(), 1_000);
    }

    #[test]
    fn a_page_token_goes_on_with_the_same_request_and_no_other() {
        let first = Query::try_from(pb::RecommendRequest { k: Some(5), ..request() }).unwrap();
        let next = Page { version: ModelVersion::new("ab12").unwrap(), at_ms: 7, offset: 5 };
        let page_token = page_token(&next, first.digest);
        let of = |request: pb::RecommendRequest| {
            Query::try_from(pb::RecommendRequest { page_token: page_token.clone(), ..request })
        };
        assert_eq!(of(pb::RecommendRequest { k: Some(50), ..request() }).unwrap().page, Some(next));
        let other = of(pb::RecommendRequest { exclude_seen: Some(false), ..request() }).unwrap_err();
        assert_eq!(other.0[0].field, "page_token");
    }

    #[test]
    fn no_bytes_make_the_decoder_or_the_checks_panic() {
        let mut rng = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            rng
        };
        let seed = pb::RecommendRequest { filter: "year > 3".into(), page_token: "a.1.2.3".into(), ..request() };
        // `make fuzz` goes on for longer.
        let seconds = std::env::var("FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
        let until = Instant::now() + Duration::from_secs(seconds);
        for round in 0_u64.. {
            if round >= 20_000 && Instant::now() >= until {
                break;
            }
            let mut bytes = if round % 2 == 0 { seed.encode_to_vec() } else { Vec::new() };
            for _ in 0..next() % 8 {
                let place = next() as usize % (bytes.len() + 1);
                bytes.insert(place, next() as u8);
            }
            if let Ok(request) = pb::RecommendRequest::decode(&*bytes) {
                drop(Query::try_from(request));
            }
        }
    }
}
