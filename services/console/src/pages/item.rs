//! One item: what is known of it, what is like it, who gets it.

use axum::extract::{Path, Query};
use futures::StreamExt;
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use tonic::{Code, Status};
use wording::grouped;

use crate::failure::{Failure, said};
use crate::view::layout;
use crate::view::written::{
    in_path, query, short, shown, value_of, version_name,
};
use crate::visitor::Visitor;

/// Items that are shown of those that are like it.
const N_ALIKE: u32 = 20;
/// Users whose lists are looked through for the item.
const N_ASKED: u32 = 200;
/// How long the lists are.
const LIST: u32 = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// A version's id; empty: the live one.
    version: String,
}

impl Asked {
    /// The version in the words of each request, which has a type of its own.
    fn version(&self) -> Option<String> {
        let is_given = !self.version.is_empty();
        is_given.then(|| version_name(&self.version))
    }
}

pub(crate) async fn page(
    visitor: Visitor,
    Path(item): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    use pb::get_item_request::Model as OfItem;
    use pb::similar_items_request::Model as OfSimilar;
    let request = pb::GetItemRequest {
        item_id: item.clone(),
        model: asked.version().map(OfItem::ModelVersion),
    };
    let known = visitor.services.item(request).await?;
    let request = pb::SimilarItemsRequest {
        item_id: item.clone(),
        k: Some(N_ALIKE),
        model: asked.version().map(OfSimilar::ModelVersion),
        ..Default::default()
    };
    let similar = visitor.services.similar(request).await;
    let takers = format!(
        "/items/{}/users?{}",
        in_path(&item),
        query(&[("version", &asked.version)])
    );
    let title = shown(&known.title, &item);
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            (facts(&known))
            p {
                a.button href=(format!("/try?{}", query(&[("history", &item), ("version", &asked.version)]))) {
                    "What somebody gets who has only this"
                }
            }
            h2 { "Most like it" }
            (alike(&similar, &asked))
            h2 { "Who gets it" }
            // It takes as long as some hundred lists.
            div hx-get=(takers) hx-trigger="load" hx-select="#takers" {
                p.hint { a href=(takers) { "Look through some users' lists" } }
            }
        },
    ))
}

/// The users who get the item.
pub(crate) async fn users(
    visitor: Visitor,
    Path(item): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let gets_it = who_gets_it(&visitor, &item, &asked).await;
    let title = format!("Who gets {item}");
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            div id="takers" { (takers(&gets_it, &asked)) }
        },
    ))
}

/// What the version knows of the item.
fn facts(item: &pb::Item) -> Markup {
    let attributes = item.attributes.clone().unwrap_or_default().fields;
    html! {
        dl.facts {
            div { dt { "Id" } dd { (item.item_id) } }
            @if !item.categories.is_empty() {
                div { dt { "Categories" } dd { (item.categories.join(" › ")) } }
            }
            @for (name, value) in &attributes {
                div { dt { (name) } dd { (value_of(value)) } }
            }
            @if let Some(n) = item.n_users {
                div {
                    dt { "Taken" }
                    dd {
                        @if n == 0 { "by nobody in the training data: it is ranked by its text" }
                        @else { "by " (grouped(n)) " users of the training data" }
                    }
                }
            }
            div { dt { "As known to" } dd { (short(&item.model_version)) } }
        }
    }
}

fn alike(
    similar: &Result<pb::SimilarItemsResponse, Status>,
    asked: &Asked,
) -> Markup {
    let similar = match similar {
        Ok(similar) => similar,
        Err(status) => return html! { p.wrong { (said(status)) } },
    };
    let version = query(&[("version", &asked.version)]);
    html! {
        p.hint { "The cosine of the items' rows." }
        ol.items {
            @for other in &similar.items {
                li {
                    a href=(format!("/items/{}?{version}", in_path(&other.item_id))) { (shown(&other.title, &other.item_id)) }
                    " " span.quiet { (format!("{:.3}", other.score)) }
                }
            }
        }
    }
}

/// Some users' lists, and in which of them the item is.
#[derive(Default)]
struct GetsIt {
    n_asked: usize,
    /// Users who get it, with its rank.
    users: Vec<(String, u32)>,
}

/// Looks through the lists of some users who have a history.
async fn who_gets_it(
    visitor: &Visitor,
    item: &str,
    asked: &Asked,
) -> Result<GetsIt, Status> {
    let request = pb::GetItemRequest {
        item_id: item.to_owned(),
        model: asked
            .version()
            .map(pb::get_item_request::Model::ModelVersion),
    };
    let known = visitor.services.item(request).await?;
    let request = pb::ListUsersRequest {
        page_size: N_ASKED,
        catalog: known.catalog,
        ..Default::default()
    };
    let users = visitor.services.users(request).await?.user_ids;
    let request = |(user, id): (&String, u64)| pb::BatchRecommendRequest {
        id,
        request: Some(pb::RecommendRequest {
            user_id: user.clone(),
            k: Some(LIST),
            model: asked
                .version()
                .map(pb::recommend_request::Model::ModelVersion),
            ..Default::default()
        }),
    };
    let users: Vec<String> = users.into_iter().take(N_ASKED as usize).collect();
    let requests: Vec<_> = users.iter().zip(0..).map(request).collect();
    let mut answers = visitor.services.recommend_many(requests).await?;
    let mut gets_it = GetsIt::default();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        use pb::batch_recommend_response::Result::Response;
        let Some(Response(list)) = answer.result else {
            continue;
        };
        gets_it.n_asked += 1;
        let found = list.items.iter().find(|it| it.item_id == item);
        let user = users.get(answer.id as usize);
        if let (Some(found), Some(user)) = (found, user) {
            gets_it.users.push((user.clone(), found.rank));
        }
    }
    gets_it.users.sort_by_key(|(_, rank)| *rank);
    Ok(gets_it)
}

fn takers(gets_it: &Result<GetsIt, Status>, asked: &Asked) -> Markup {
    let gets_it = match gets_it {
        Ok(gets_it) => gets_it,
        Err(status) if status.code() == Code::PermissionDenied => {
            return html! { p.hint { "Your token may not see who has a history." } };
        }
        Err(status) => return html! { p.wrong { (said(status)) } },
    };
    html! {
        @if gets_it.n_asked == 0 {
            p.hint { "Nobody has a history yet." }
        } @else {
            p.hint {
                "Of " (gets_it.n_asked) " users with a history, " (gets_it.users.len())
                " get it among their first " (LIST) "."
            }
        }
        ul.plain {
            @for (user, rank) in gets_it.users.iter().take(LIST as usize) {
                li {
                    a href=(format!("/try?{}", query(&[("user", user), ("version", &asked.version)]))) { (user) }
                    " " span.quiet { "rank " (rank) }
                }
            }
        }
    }
}
