//! Requests for `Recommend` and its relatives, checked field by field; all that
//! is wrong is told at once.

use domain::{
    Allowed, Invalid, ItemId, ItemQuery, Likeness, ModelChoice, Priority,
    Query, ScoreQuery, SimilarQuery, TextQuery, TopK, Violations,
};

use crate::convert::enums::no_value;
use crate::convert::page_token::Pages;
use crate::convert::query::new_items::{at_most, new_items, text};
use crate::convert::query::reader::{
    Choice, Who, choice, reader, recommend_reader,
};
use crate::pb;
use crate::pb::recommend_request::HistoryUse;

/// Whose list is asked for, of which model.
mod reader;

/// Items that came after training.
mod new_items;

/// Most inline interactions, excluded items and candidates: bounds what a
/// client can make the server hold.
const MAX_IDS: usize = 10_000;
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
        let mut wrong = Violations::default();
        wrong.take(priority(&request));
        let k = wrong.or_default(top_k(request.k));
        if request.explain && k.get() > MAX_EXPLAINED {
            let k = k.get();
            let reason = format!(
                "must be at most {MAX_EXPLAINED} with `explain`, is {k}"
            );
            wrong.add("k", reason);
        }

        let has_text = !request.query.trim().is_empty();
        if request.user_id.is_empty() && request.history.is_empty() && !has_text
        {
            let reason = "must be given, or `history`, or `query`";
            wrong.add("user_id", reason);
        }
        let text_query = wrong.or_default(text_query(&mut request));
        let reader = wrong.or_default(recommend_reader(&mut request));
        let excluded = wrong
            .or_default(ids("excluded_item_ids", request.excluded_item_ids));
        let allowed = Allowed {
            exclude_seen: request.exclude_seen.unwrap_or(true),
            excluded,
            candidates: wrong
                .or_default(candidates(request.candidate_item_ids)),
            filter: wrong.or_default(filter(request.filter)),
            relax_filter: request.relax_filter,
        };
        let query = Query {
            reader,
            text_query,
            new_items: wrong.or_default(new_items(request.new_items)),
            k,
            page: wrong.or_default(pages.page(&request.page_token)),
            allowed,
            explain: request.explain,
        };
        wrong.check()?;
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

impl TryFrom<pb::ScoreItemsRequest> for ScoreQuery {
    type Error = Invalid;

    fn try_from(request: pb::ScoreItemsRequest) -> Result<Self, Invalid> {
        use pb::score_items_request::Model;
        let mut wrong = Violations::default();
        let model = request.model.map(|model| match model {
            Model::Label(label) => Choice::Label(label),
            Model::ModelVersion(name) => Choice::Version(name),
        });
        if request.item_ids.is_empty() && request.new_items.is_empty() {
            let reason = format!("must hold 1 to {MAX_IDS} ids");
            wrong.add("item_ids", reason);
        }

        if request.user_id.is_empty() && request.history.is_empty() {
            let reason = "must be given, or `history`, or both";
            wrong.add("user_id", reason);
        }

        let who = Who {
            user: request.user_id,
            history: request.history,
            history_use: HistoryUse::Replace,
            catalog: request.catalog,
        };
        let query = Self {
            reader: wrong.or_default(reader(who, model)),
            items: wrong.or_default(ids("item_ids", request.item_ids)),
            new_items: wrong.or_default(new_items(request.new_items)),
        };
        wrong.check()?;
        Ok(query)
    }
}

impl TryFrom<pb::SimilarItemsRequest> for SimilarQuery {
    type Error = Invalid;

    fn try_from(request: pb::SimilarItemsRequest) -> Result<Self, Invalid> {
        use pb::similar_items_request::Model;
        let mut wrong = Violations::default();
        let model = request.model.map(|model| match model {
            Model::Label(label) => Choice::Label(label),
            Model::ModelVersion(name) => Choice::Version(name),
        });
        let to = wrong.take(likeness(request.item_id, request.text));
        let k = wrong.or_default(top_k(request.k));
        let filter = wrong.or_default(filter(request.filter));
        let model = wrong.or_default(choice(model));
        let Some(to) = to else {
            return Err(wrong.into_invalid());
        };

        wrong.check()?;
        Ok(Self {
            to,
            k,
            filter,
            model,
        })
    }
}

impl TryFrom<pb::GetItemRequest> for ItemQuery {
    type Error = Invalid;

    fn try_from(request: pb::GetItemRequest) -> Result<Self, Invalid> {
        use pb::get_item_request::Model;
        let mut wrong = Violations::default();
        let model = request.model.map(|model| match model {
            Model::Label(label) => Choice::Label(label),
            Model::ModelVersion(name) => Choice::Version(name),
        });
        let item = ItemId::new(request.item_id);
        let item = wrong.take(item.map_err(|it| it.under("item_id")));
        let model = wrong.or_default(choice(model));
        let Some(item) = item else {
            return Err(wrong.into_invalid());
        };

        wrong.check()?;
        Ok(Self { item, model })
    }
}

/// Tells of which model the fields are asked for.
pub fn fields_model(
    request: pb::ListFieldsRequest,
) -> Result<ModelChoice, Invalid> {
    use pb::list_fields_request::Model;
    choice(request.model.map(|model| match model {
        Model::Label(label) => Choice::Label(label),
        Model::ModelVersion(name) => Choice::Version(name),
    }))
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

/// Tells who goes first: known before anything else is made of a request.
pub fn priority(request: &pb::RecommendRequest) -> Result<Priority, Invalid> {
    match pb::Priority::try_from(request.priority) {
        Ok(pb::Priority::Unspecified | pb::Priority::Interactive) => {
            Ok(Priority::Interactive)
        }
        Ok(pb::Priority::Batch) => Ok(Priority::Batch),
        Err(_) => Err(no_value(
            "priority",
            request.priority,
            pb::Priority::as_str_name,
        )),
    }
}

fn top_k(k: Option<u32>) -> Result<TopK, Invalid> {
    let Some(k) = k else {
        return Ok(TopK::default());
    };
    TopK::new(k as usize).map_err(|invalid| invalid.under("k"))
}

fn ids(field: &str, ids: Vec<String>) -> Result<Vec<ItemId>, Invalid> {
    bounded(field, ids.len())?;
    let mut wrong = Violations::default();
    let mut checked = Vec::with_capacity(ids.len());
    for (number, id) in ids.into_iter().enumerate() {
        let id = ItemId::new(id);
        checked.extend(wrong.take(
            id.map_err(|invalid| invalid.under(&format!("{field}[{number}]"))),
        ));
    }

    wrong.check()?;
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

fn bounded(field: &str, n: usize) -> Result<(), Invalid> {
    if n > MAX_IDS {
        let reason = format!("must hold at most {MAX_IDS}, holds {n}");
        return Err(Invalid::one(field, reason));
    }

    Ok(())
}

#[cfg(test)]
mod tests;
