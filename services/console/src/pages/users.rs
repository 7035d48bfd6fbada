//! Users who have a history: to be found by the beginning of their id.

use axum::extract::Query;
use axum::http::HeaderMap;
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;

use crate::failure::Failure;
use crate::view::layout;
use crate::view::written::query;
use crate::visitor::Visitor;

/// Users of a page.
const A_PAGE: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// What their ids begin with.
    user: String,
    /// Namespace of their items; empty: `default`.
    catalog: String,
    page: String,
}

/// A page of users, or the options of a field in which one is typed.
pub(crate) async fn page(
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Markup, Failure> {
    let request = pb::ListUsersRequest {
        prefix: wanted.user.clone(),
        page_size: A_PAGE,
        page_token: wanted.page.clone(),
        catalog: wanted.catalog.clone(),
    };
    let listed = visitor.services.users(request).await?;
    if headers.contains_key("hx-request") {
        // A field in which somebody types.
        return Ok(html! {
            @for user in listed.user_ids.iter().take(A_PAGE as usize) { option value=(user) {} }
        });
    }
    let next =
        query(&[("user", &wanted.user), ("page", &listed.next_page_token)]);
    Ok(layout::page(
        &visitor,
        "Users",
        &html! {
            h1 { "Users" }
            form.row action="/users" {
                label { "Whose id begins with " input name="user" value=(wanted.user); }
                label { "Catalog " input name="catalog" value=(wanted.catalog) placeholder="default"; }
                button { "Show" }
            }
            @if listed.user_ids.is_empty() {
                p.hint {
                    @if listed.next_page_token.is_empty() {
                        "There is none with a history. " code { "cllm4rec history record" } " writes one, and so does an import."
                    } @else {
                        "None on this page."
                    }
                }
            }
            ul.plain {
                @for user in &listed.user_ids {
                    li { a href=(format!("/try?{}", query(&[("user", user)]))) { (user) } }
                }
            }
            @if !listed.next_page_token.is_empty() {
                p { a href=(format!("/users?{next}")) { "More" } }
            }
        },
    ))
}
