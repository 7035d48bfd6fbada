//! Requests for `Recommend` and its relatives, checked field by field.

use std::time::Duration;

use domain::{
    Allowed, History, Inline, Interaction, Invalid, ItemId, Label, Likeness,
    ModelChoice, Priority, Query, Reader, ScoreQuery, SimilarQuery, TextQuery,
    TopK, UserId,
};

use crate::convert::name::{catalog, millis, version_id};
use crate::convert::page_token::Pages;
use crate::convert::query::new_items::{at_most, new_items, text};
use crate::pb;
use crate::pb::recommend_request::HistoryUse;

/// Items that came after training.
mod new_items;

/// Most inline interactions, excluded items and candidates: bounds what a
/// client can make the server hold.
const MAX_IDS: usize = 10_000;
/// Items that a request gets when it does not say.
const DEFAULT_K: u32 = 10;
/// Longest filter, in bytes.
const MAX_FILTER: usize = 2_048;
/// Longest query, in bytes.
const MAX_QUERY: usize = 1_024;
/// Most items of a page that is explained: each costs a backward pass.
const MAX_EXPLAINED: usize = 20;

/// A checked `Recommend` request, and the pages of its list.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is asked for.
    pub query: Query,
    /// Makes the token for the next page.
    pub pages: Pages,
}

impl TryFrom<pb::RecommendRequest> for Asked {
    type Error = Invalid;

    fn try_from(mut request: pb::RecommendRequest) -> Result<Self, Invalid> {
        let pages = Pages::of(&mut request);
        priority(&request)?;
        let k = top_k(request.k)?;
        if request.explain && k.get() > MAX_EXPLAINED {
            let k = k.get();
            let reason = format!(
                "must be at most {MAX_EXPLAINED} with `explain`, is {k}"
            );
            return Err(Invalid::one("k", reason));
        }

        let text_query = text_query(&mut request)?;
        if request.user_id.is_empty()
            && request.history.is_empty()
            && text_query.is_none()
        {
            let reason = "must be given, or `history`, or `query`";
            return Err(Invalid::one("user_id", reason));
        }
        let reader = recommend_reader(&mut request)?;
        let candidates = candidates(request.candidate_item_ids)?;
        let page = pages.page(&request.page_token)?;
        let allowed = Allowed {
            exclude_seen: request.exclude_seen.unwrap_or(true),
            excluded: ids("excluded_item_ids", request.excluded_item_ids)?,
            candidates,
            filter: filter(request.filter)?,
            relax_filter: request.relax_filter,
        };

        let query = Query {
            reader,
            text_query,
            new_items: new_items(request.new_items)?,
            k,
            page,
            allowed,
            explain: request.explain,
        };

        Ok(Self { query, pages })
    }
}

/// Takes what the user looks for out of a request.
fn text_query(
    request: &mut pb::RecommendRequest,
) -> Result<Option<TextQuery>, Invalid> {
    let text = std::mem::take(&mut request.query);
    let text = at_most("query", text, MAX_QUERY)?;
    if text.trim().is_empty() {
        if request.query_weight.is_some() {
            let reason = "is of no use without a `query`";
            return Err(Invalid::one("query_weight", reason));
        }
        return Ok(None);
    }

    let weight = request.query_weight.unwrap_or(TextQuery::WEIGHT);
    if !(0.0..=1.0).contains(&weight) {
        let reason = format!("must be 0 to 1, is {weight}");
        return Err(Invalid::one("query_weight", reason));
    }

    Ok(Some(TextQuery { text, weight }))
}

/// Takes what says whose list it is out of a request.
fn recommend_reader(
    request: &mut pb::RecommendRequest,
) -> Result<Reader, Invalid> {
    use pb::recommend_request::Model;
    let history_use = HistoryUse::try_from(request.history_use)
        .map_err(|_| no_value("history_use", request.history_use))?;
    let at_ms = match request.at_time {
        Some(time) => Some(millis("at_time", time)?),
        None => None,
    };

    let max_staleness = match request.max_staleness {
        Some(time) => duration("max_staleness", time)?,
        None => Duration::ZERO,
    };

    let model = request.model.take().map(|model| match model {
        Model::Label(label) => Choice::Label(label),
        Model::ModelVersion(name) => Choice::Version(name),
    });
    let who = Who {
        user: std::mem::take(&mut request.user_id),
        history: std::mem::take(&mut request.history),
        history_use,
        catalog: std::mem::take(&mut request.catalog),
    };

    Ok(Reader {
        at_ms,
        max_staleness,
        ..reader(who, model)?
    })
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
        let new_items = new_items(request.new_items)?;
        if items.is_empty() && new_items.is_empty() {
            let reason = format!("must hold 1 to {MAX_IDS} ids");
            return Err(Invalid::one("item_ids", reason));
        }

        if request.user_id.is_empty() && request.history.is_empty() {
            let reason = "must be given, or `history`, or both";
            return Err(Invalid::one("user_id", reason));
        }

        let who = Who {
            user: request.user_id,
            history: request.history,
            history_use: HistoryUse::Replace,
            catalog: request.catalog,
        };

        Ok(Self {
            reader: reader(who, model)?,
            items,
            new_items,
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
            to: likeness(request.item_id, request.text)?,
            k: top_k(request.k)?,
            filter: filter(request.filter)?,
            model: choice(model)?,
        })
    }
}

fn likeness(item: String, about: String) -> Result<Likeness, Invalid> {
    if about.trim().is_empty() {
        let item =
            ItemId::new(item).map_err(|invalid| invalid.under("item_id"))?;
        return Ok(Likeness::Item(item));
    }

    if !item.is_empty() {
        let reason = "must be empty where `item_id` is given";
        return Err(Invalid::one("text", reason));
    }

    text("text", about).map(Likeness::Text)
}

/// Names a model; the three requests have a `oneof` of the same two fields
/// each.
enum Choice {
    Label(String),
    Version(String),
}

fn choice(model: Option<Choice>) -> Result<ModelChoice, Invalid> {
    Ok(match model {
        None => ModelChoice::live(),
        Some(Choice::Label(label)) => ModelChoice::Label(
            Label::new(label).map_err(|invalid| invalid.under("label"))?,
        ),
        Some(Choice::Version(name)) => {
            ModelChoice::Version(version_id("model_version", &name)?)
        }
    })
}

/// Whose list is asked for, as two of the requests say it.
struct Who {
    user: String,
    history: Vec<pb::InlineInteraction>,
    history_use: HistoryUse,
    catalog: String,
}

fn reader(who: Who, model: Option<Choice>) -> Result<Reader, Invalid> {
    let mut user = None;
    if !who.user.is_empty() {
        let id = UserId::new(who.user)
            .map_err(|invalid| invalid.under("user_id"))?;
        user = Some(id);
    }

    let inline = inline(who.history, who.history_use)?;
    let mut namespace = None;
    if !who.catalog.is_empty() {
        namespace = Some(catalog("catalog", &who.catalog)?);
    }

    Ok(Reader {
        user,
        catalog: namespace,
        inline,
        at_ms: None,
        max_staleness: Duration::ZERO,
        model: choice(model)?,
    })
}

fn inline(
    history: Vec<pb::InlineInteraction>,
    history_use: HistoryUse,
) -> Result<Inline, Invalid> {
    if history.is_empty() {
        return Ok(Inline::Absent);
    }

    match history_use {
        HistoryUse::Unspecified | HistoryUse::Replace => {
            inline_history(history).map(Inline::Instead)
        }
        HistoryUse::Merge => {
            if let Some(place) =
                history.iter().position(|entry| entry.time.is_none())
            {
                let reason = "must be given with MERGE: it says where the item comes in the stored history";
                return Err(Invalid::one(
                    format!("history[{place}].time"),
                    reason,
                ));
            }

            inline_history(history).map(Inline::Beside)
        }
    }
}

/// Tells who goes first: known before anything else is made of a request.
pub fn priority(request: &pb::RecommendRequest) -> Result<Priority, Invalid> {
    match pb::Priority::try_from(request.priority) {
        Ok(pb::Priority::Unspecified | pb::Priority::Interactive) => {
            Ok(Priority::Interactive)
        }
        Ok(pb::Priority::Batch) => Ok(Priority::Batch),
        Err(_) => Err(no_value("priority", request.priority)),
    }
}

fn no_value(field: &str, number: i32) -> Invalid {
    Invalid::one(field, format!("{number} is not one of the values"))
}

fn top_k(k: Option<u32>) -> Result<TopK, Invalid> {
    TopK::new(k.unwrap_or(DEFAULT_K) as usize)
        .map_err(|invalid| invalid.under("k"))
}

fn ids(field: &str, ids: Vec<String>) -> Result<Vec<ItemId>, Invalid> {
    bounded(field, ids.len())?;
    let mut checked = Vec::with_capacity(ids.len());
    for (number, id) in ids.into_iter().enumerate() {
        let id = ItemId::new(id);
        checked.push(
            id.map_err(|invalid| invalid.under(&format!("{field}[{number}]")))?,
        );
    }

    Ok(checked)
}

/// An empty list means all items.
fn candidates(candidates: Vec<String>) -> Result<Option<Vec<ItemId>>, Invalid> {
    if candidates.is_empty() {
        return Ok(None);
    }

    ids("candidate_item_ids", candidates).map(Some)
}

fn filter(filter: String) -> Result<String, Invalid> {
    if filter.len() > MAX_FILTER {
        let n = filter.len();
        let reason = format!("must be at most {MAX_FILTER} bytes, has {n}");
        return Err(Invalid::one("filter", reason));
    }

    Ok(filter)
}

fn duration(
    field: &str,
    time: prost_types::Duration,
) -> Result<Duration, Invalid> {
    Duration::try_from(time)
        .map_err(|_| Invalid::one(field, "must not be negative"))
}

fn bounded(field: &str, n: usize) -> Result<(), Invalid> {
    if n > MAX_IDS {
        let reason = format!("must hold at most {MAX_IDS}, holds {n}");
        return Err(Invalid::one(field, reason));
    }

    Ok(())
}

/// Makes a history of inline interactions; entries without a time keep the
/// order given.
fn inline_history(
    interactions: Vec<pb::InlineInteraction>,
) -> Result<History, Invalid> {
    bounded("history", interactions.len())?;
    let mut history = Vec::with_capacity(interactions.len());
    for (number, interaction) in interactions.into_iter().enumerate() {
        let item = ItemId::new(interaction.item_id).map_err(|invalid| {
            invalid.under(&format!("history[{number}].item_id"))
        })?;
        let at_ms = match interaction.time {
            Some(time) => millis(&format!("history[{number}].time"), time)?,
            None => i64::try_from(number).unwrap_or(i64::MAX),
        };

        history.push(Interaction {
            item,
            at_ms,
            event: None,
        });
    }

    Ok(History::inline(history))
}

#[cfg(test)]
mod tests;
