//! `Recommend` and its relatives.

use std::time::Duration;

use domain::{
    Allowed, Degradation, History, Inline, Interaction, Invalid, ItemId, ItemScores, Label,
    ModelChoice, ModelVersion, Page, Priority, Query, Reader, Reason, Recommendation, ScoreQuery,
    ScoredItem, SimilarQuery, Source, TopK, UserId,
};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::convert::{catalog, millis, version_id, version_name};
use crate::pb;
use crate::pb::degradation::Kind;
use crate::pb::recommend_request::HistoryUse;

/// Most inline interactions, excluded items and candidates: bounds what a client can make the
/// server hold.
const MAX_IDS: usize = 10_000;
/// Items that a request gets when it does not say.
const DEFAULT_K: u32 = 10;
/// Longest filter, in bytes.
const MAX_FILTER: usize = 2_048;
/// Most items of a page that is explained: each costs a backward pass.
const MAX_EXPLAINED: usize = 20;

impl TryFrom<pb::RecommendRequest> for Query {
    type Error = Invalid;

    fn try_from(mut request: pb::RecommendRequest) -> Result<Self, Invalid> {
        use pb::recommend_request::Model;
        let digest = digest(&mut request);
        priority(&request)?;
        let k = top_k(request.k)?;
        if request.explain && k.get() > MAX_EXPLAINED {
            return Err(Invalid::one(
                "k",
                format!(
                    "must be at most {MAX_EXPLAINED} with `explain`, is {}",
                    k.get()
                ),
            ));
        }
        let history_use = HistoryUse::try_from(request.history_use).map_err(|_| {
            Invalid::one(
                "history_use",
                format!("{} is not one of the values", request.history_use),
            )
        })?;
        let model = match request.model {
            None => None,
            Some(Model::Label(label)) => Some(Choice::Label(label)),
            Some(Model::ModelVersion(name)) => Some(Choice::Version(name)),
        };
        let reader = Reader {
            at_ms: request
                .at_time
                .map(|time| millis("at_time", time))
                .transpose()?,
            max_staleness: request
                .max_staleness
                .map_or(Ok(Duration::ZERO), |time| duration("max_staleness", time))?,
            ..reader(
                request.user_id,
                (request.history, history_use),
                &request.catalog,
                model,
            )?
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
            return Err(Invalid::one(
                "item_ids",
                format!("must hold 1 to {MAX_IDS} ids"),
            ));
        }
        let history = (request.history, HistoryUse::Replace);
        Ok(Self {
            reader: reader(request.user_id, history, &request.catalog, model)?,
            items,
        })
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
        Some(Choice::Label(label)) => {
            ModelChoice::Label(Label::new(label).map_err(|invalid| invalid.under("label"))?)
        }
        Some(Choice::Version(name)) => ModelChoice::Version(version_id("model_version", &name)?),
    })
}

fn reader(
    user: String,
    (history, history_use): (Vec<pb::InlineInteraction>, HistoryUse),
    catalog_name: &str,
    model: Option<Choice>,
) -> Result<Reader, Invalid> {
    let user = Some(user)
        .filter(|id| !id.is_empty())
        .map(UserId::new)
        .transpose();
    let user = user.map_err(|invalid| invalid.under("user_id"))?;
    if user.is_none() && history.is_empty() {
        return Err(Invalid::one(
            "user_id",
            "must be given, or `history`, or both",
        ));
    }
    let inline = match (history.is_empty(), history_use) {
        (true, _) => Inline::Absent,
        (false, HistoryUse::Unspecified | HistoryUse::Replace) => {
            Inline::Instead(inline_history(history)?)
        }
        (false, HistoryUse::Merge) => {
            if let Some(place) = history
                .iter()
                .position(|interaction| interaction.time.is_none())
            {
                let reason =
                    "must be given with MERGE: it says where the item comes in the stored history";
                return Err(Invalid::one(format!("history[{place}].time"), reason));
            }
            Inline::Beside(inline_history(history)?)
        }
    };
    Ok(Reader {
        user,
        catalog: if catalog_name.is_empty() {
            None
        } else {
            Some(catalog("catalog", catalog_name)?)
        },
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
        Err(_) => Err(Invalid::one(
            "priority",
            format!("{} is not one of the values", request.priority),
        )),
    }
}

fn top_k(k: Option<u32>) -> Result<TopK, Invalid> {
    TopK::new(k.unwrap_or(DEFAULT_K) as usize).map_err(|invalid| invalid.under("k"))
}

fn ids(field: &str, ids: Vec<String>) -> Result<Vec<ItemId>, Invalid> {
    bounded(field, ids.len())?;
    let id = |(number, id): (usize, String)| {
        ItemId::new(id).map_err(|invalid| invalid.under(&format!("{field}[{number}]")))
    };
    ids.into_iter().enumerate().map(id).collect()
}

fn filter(filter: String) -> Result<String, Invalid> {
    if filter.len() > MAX_FILTER {
        return Err(Invalid::one(
            "filter",
            format!("must be at most {MAX_FILTER} bytes, has {}", filter.len()),
        ));
    }
    Ok(filter)
}

fn duration(field: &str, time: prost_types::Duration) -> Result<Duration, Invalid> {
    Duration::try_from(time).map_err(|_| Invalid::one(field, "must not be negative"))
}

fn bounded(field: &str, n: usize) -> Result<(), Invalid> {
    if n > MAX_IDS {
        return Err(Invalid::one(
            field,
            format!("must hold at most {MAX_IDS}, holds {n}"),
        ));
    }
    Ok(())
}

/// Inline interactions as a history; entries without a time keep the order given.
fn inline_history(interactions: Vec<pb::InlineInteraction>) -> Result<History, Invalid> {
    bounded("history", interactions.len())?;
    let mut history = Vec::with_capacity(interactions.len());
    for (number, interaction) in interactions.into_iter().enumerate() {
        let field = |name: &str| format!("history[{number}].{name}");
        let item =
            ItemId::new(interaction.item_id).map_err(|invalid| invalid.under(&field("item_id")))?;
        let place = i64::try_from(number).unwrap_or(i64::MAX);
        let at_ms = interaction
            .time
            .map_or(Ok(place), |time| millis(&field("time"), time))?;
        history.push(Interaction {
            item,
            at_ms,
            event: None,
        });
    }
    Ok(History::inline(history))
}

/// What a request asks for, without what may differ from page to page: that is set aside meanwhile,
/// so that nothing of a size that the client chose is copied.
fn digest(request: &mut pb::RecommendRequest) -> u64 {
    let varying = (
        std::mem::take(&mut request.page_token),
        request.k.take(),
        std::mem::take(&mut request.priority),
        request.max_staleness.take(),
        std::mem::take(&mut request.explain),
    );
    let hash = Sha256::digest(request.encode_to_vec());
    (
        request.page_token,
        request.k,
        request.priority,
        request.max_staleness,
        request.explain,
    ) = varying;
    hash.first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// `{version}.{at_ms}.{offset}.{digest}`: opaque to clients.
fn page_token(page: &Page, digest: u64) -> String {
    format!(
        "{}.{}.{}.{digest:016x}",
        page.version, page.at_ms, page.offset
    )
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
        is_whole.then_some((
            Page {
                version,
                at_ms,
                offset,
            },
            found,
        ))
    };
    match read() {
        Some((page, found)) if found == digest => Ok(Some(page)),
        Some(_) => Err(Invalid::one(
            "page_token",
            "is of another request; only `k` may differ from page to page",
        )),
        None => Err(Invalid::one(
            "page_token",
            "is no token of an answer; start again without one",
        )),
    }
}

impl pb::RecommendResponse {
    /// The answer to a query with this digest.
    pub fn of(recommendation: Recommendation, digest: u64) -> Self {
        let first_rank = u32::try_from(recommendation.offset)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Self {
            items: items(first_rank, recommendation.items),
            model_version: version_name(&recommendation.version),
            history_length: u32::try_from(recommendation.history_length).unwrap_or(u32::MAX),
            cached: recommendation.cached,
            degradations: recommendation
                .degradations
                .iter()
                .map(pb::Degradation::from)
                .collect(),
            next_page_token: recommendation
                .next
                .map(|page| page_token(&page, digest))
                .unwrap_or_default(),
            n_scored: u32::try_from(recommendation.n_scored).unwrap_or(u32::MAX),
        }
    }
}

impl pb::SimilarItemsResponse {
    /// The items most like another.
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
        let score = |(item, score): (ItemId, Option<f32>)| ItemScore {
            item_id: item.into(),
            score,
        };
        Self {
            scores: scores.scores.into_iter().map(score).collect(),
            model_version: version_name(&scores.version),
            degradations: scores
                .degradations
                .iter()
                .map(pb::Degradation::from)
                .collect(),
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
        Self {
            kind: kind.into(),
            message,
        }
    }
}

#[cfg(test)]
mod tests;
