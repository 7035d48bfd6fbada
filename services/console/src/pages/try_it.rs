//! Lists for any user, any history, any version: what is in them, and why.

use std::collections::HashMap;

use axum::extract::Query;
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use serde_json::json;

use crate::failure::{Failure, said};
use crate::pages::fields::{fields, listed};
use crate::view::copied::Copied;
use crate::view::layout;
use crate::view::list::list;
use crate::view::written::{
    id, in_path, minute, query, short, shown, version_name,
};
use crate::visitor::Visitor;

/// Items of a history that are shown.
const N_SHOWN: usize = 20;

/// What is asked for, as the form has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    user: String,
    /// Items in the place of the stored history, with line ends or commas
    /// between; empty: the stored one.
    history: String,
    /// An item that joins the history.
    add: String,
    query: String,
    filter: String,
    /// A version's id; empty: the live one.
    version: String,
    /// Another one whose list stands beside it.
    beside: String,
    k: String,
    /// `on`, or empty.
    explain: String,
}

impl Asked {
    fn is_empty(&self) -> bool {
        self.user.is_empty() && self.items().is_empty() && self.query.is_empty()
    }

    /// The items that take the place of the stored history.
    fn items(&self) -> Vec<&str> {
        let items = self.history.split(['\n', ',']);
        let items = items.chain([self.add.as_str()]).map(str::trim);
        items.filter(|it| !it.is_empty()).collect()
    }

    fn request(&self, version: &str) -> pb::RecommendRequest {
        let inline = |item: &&str| pb::InlineInteraction {
            item_id: (*item).to_owned(),
            time: None,
        };
        let model = version_name(version);
        pb::RecommendRequest {
            user_id: self.user.clone(),
            history: self.items().iter().map(inline).collect(),
            k: Some(self.k.parse().unwrap_or(10)),
            filter: self.filter.clone(),
            query: self.query.clone(),
            explain: !self.explain.is_empty(),
            model: (!version.is_empty())
                .then_some(pb::recommend_request::Model::ModelVersion(model)),
            ..Default::default()
        }
    }

    /// The address of the page with another history.
    fn with_history(&self, history: &str) -> String {
        let fields = [
            ("user", self.user.as_str()),
            ("history", history),
            ("query", &self.query),
            ("filter", &self.filter),
            ("version", &self.version),
            ("beside", &self.beside),
            ("k", &self.k),
            ("explain", &self.explain),
        ];
        format!("/try?{}", query(&fields))
    }
}

pub(crate) async fn page(
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let (versions, unlisted) = match visitor.services.versions("").await {
        Ok(listed) => (listed.model_versions, None),
        Err(status) => (Vec::new(), Some(status)),
    };
    let known = listed(&visitor, &asked.version).await;
    let answers = if asked.is_empty() {
        html! { p.hint { "Name a user, or items that somebody has, or what they look for." } }
    } else {
        answers(&visitor, &asked, &known.catalog).await?
    };
    Ok(layout::page(
        &visitor,
        "Try it",
        &html! {
            h1 { "Try it" }
            @if let Some(status) = unlisted {
                p.wrong { "The versions cannot be listed: " (said(&status)) }
            }
            (form(&asked, &versions, &known.catalog))
            p.hint { a href=(format!("/users?{}", query(&[("catalog", &known.catalog)]))) { "Users who have a history" } }
            (fields(&known.fields))
            div id="answers" { (answers) }
        },
    ))
}

fn form(asked: &Asked, versions: &[pb::ModelVersion], catalog: &str) -> Markup {
    html! {
        form.grid action="/try" hx-get="/try" hx-target="#answers" hx-select="#answers" hx-swap="outerHTML"
            hx-trigger="submit, change" hx-push-url="true" {
            label {
                "User"
                input name="user" value=(asked.user) list="users" autocomplete="off"
                    hx-get=(format!("/users?{}", query(&[("catalog", catalog)]))) hx-trigger="focus once, input changed delay:150ms" hx-target="#users" hx-select="unset" hx-swap="innerHTML" hx-push-url="false";
                datalist id="users" {}
            }
            label { "Looks for" input name="query" value=(asked.query) placeholder="in their own words"; }
            label {
                "Filter"
                input name="filter" id="filter" value=(asked.filter) placeholder="category in [\"…\"] && price < 20" list="filters" autocomplete="off";
                datalist id="filters" {}
            }
            label { "How many" input name="k" type="number" min="1" max="100" value=(if asked.k.is_empty() { "10" } else { &asked.k }); }
            label { "Version" (choice("version", &asked.version, "live", versions)) }
            label { "Beside it" (choice("beside", &asked.beside, "nothing", versions)) }
            label.tall {
                "Items in the place of the stored history, oldest first: one a line, or with commas between"
                textarea name="history" rows="3" spellcheck="false" { (asked.history) }
            }
            label.check {
                input type="checkbox" name="explain" checked[!asked.explain.is_empty()];
                " with reasons (at most 20 items)"
            }
            button.main { "Show" }
        }
    }
}

fn choice(
    name: &str,
    chosen: &str,
    none: &str,
    versions: &[pb::ModelVersion],
) -> Markup {
    html! {
        select name=(name) {
            option value="" { (none) }
            @if !chosen.is_empty() && !versions.iter().any(|it| id(&it.name) == chosen) {
                option value=(chosen) selected { (short(chosen)) }
            }
            @for version in versions {
                @let this = id(&version.name);
                option value=(this) selected[this == chosen] {
                    (short(this)) " " (minute(version.create_time)) " " (version.labels.join(" "))
                }
            }
        }
    }
}

async fn answers(
    visitor: &Visitor,
    asked: &Asked,
    catalog: &str,
) -> Result<Markup, Failure> {
    let services = &visitor.services;
    let request = asked.request(&asked.version);
    let answer = services.recommend(request.clone()).await;
    if let Err(status) = &answer
        && status.code() == tonic::Code::Unauthenticated
    {
        return Err(Failure::from(status.clone()));
    }
    let beside = match asked.beside.as_str() {
        "" => None,
        version => Some(services.recommend(asked.request(version)).await),
    };
    Ok(html! {
        div.columns {
            (history(visitor, asked, catalog).await)
            (answered("List", &answer))
            @if let Some(beside) = &beside { (answered("Beside it", beside)) }
        }
        (to_copy(visitor, &request))
    })
}

fn answered(
    title: &str,
    answer: &Result<pb::RecommendResponse, tonic::Status>,
) -> Markup {
    html! {
        section aria-label=(title) {
            h2 { (title) }
            @match answer {
                Ok(answer) => (list(answer)),
                Err(status) => p.wrong { (said(status)) },
            }
        }
    }
}

/// The history that a list goes by, with the ways to change it.
async fn history(visitor: &Visitor, asked: &Asked, catalog: &str) -> Markup {
    let inline = asked.items();
    let (title, items) = if inline.is_empty() {
        match stored(visitor, &asked.user, catalog).await {
            Ok(items) => ("Stored history, the latest first", items),
            Err(status) => {
                return html! {
                    section { h2 { "History" } p.wrong { (said(&status)) } }
                };
            }
        }
    } else {
        let items = inline.iter().rev().map(|it| (*it).to_owned()).collect();
        ("This history, the latest first", items)
    };
    let without = |left_out: usize| {
        let kept = items.iter().enumerate().rev();
        let kept = kept.filter(|(n, _)| *n != left_out);
        let kept: Vec<&str> = kept.map(|(_, it)| it.as_str()).collect();
        asked.with_history(&kept.join("\n"))
    };
    let titles = titles(visitor, asked, &items).await;
    html! {
        section aria-label="History" {
            h2 { (title) }
            @if items.is_empty() { p.hint { "There is none." } }
            ul.plain {
                @for (n, item) in items.iter().take(N_SHOWN).enumerate() {
                    @let title = titles.get(item).map_or("", String::as_str);
                    li {
                        a href=(format!("/items/{}", in_path(item))) { (shown(title, item)) } " "
                        @if items.len() > 1 {
                            a.quiet href=(without(n)) aria-label=(format!("Show the list without {item}")) { "leave out" }
                        }
                    }
                }
            }
            @if items.len() > N_SHOWN { p.hint { "and " (items.len() - N_SHOWN) " more" } }
            (add(asked, &items))
        }
    }
}

/// The titles of the items that are shown, as far as the version knows them: it
/// is asked to rank these alone.
async fn titles(
    visitor: &Visitor,
    asked: &Asked,
    items: &[String],
) -> HashMap<String, String> {
    let shown: Vec<String> = items.iter().take(N_SHOWN).cloned().collect();
    let request = pb::RecommendRequest {
        k: Some(N_SHOWN as u32),
        candidate_item_ids: shown,
        exclude_seen: Some(false),
        filter: String::new(),
        explain: false,
        ..asked.request(&asked.version)
    };
    let titled = match visitor.services.recommend(request).await {
        Ok(answer) => answer.items,
        // Without titles there are the ids.
        Err(error) => {
            tracing::debug!(%error, "titles cannot be had");
            Vec::new()
        }
    };
    titled
        .into_iter()
        .map(|it| (it.item_id, it.title))
        .collect()
}

/// A form that adds an item to what the list goes by.
fn add(asked: &Asked, items: &[String]) -> Markup {
    let oldest_first: Vec<&str> =
        items.iter().rev().map(String::as_str).collect();
    html! {
        form.row action="/try" {
            input type="hidden" name="user" value=(asked.user);
            input type="hidden" name="query" value=(asked.query);
            input type="hidden" name="filter" value=(asked.filter);
            input type="hidden" name="version" value=(asked.version);
            input type="hidden" name="beside" value=(asked.beside);
            input type="hidden" name="k" value=(asked.k);
            input type="hidden" name="explain" value=(asked.explain);
            textarea.hidden name="history" aria-hidden="true" tabindex="-1" { (oldest_first.join("\n")) }
            label { "Item " input name="add" size="12" required; }
            button { "Add it" }
        }
    }
}

/// The items of a user's stored history, the latest first.
async fn stored(
    visitor: &Visitor,
    user: &str,
    catalog: &str,
) -> Result<Vec<String>, tonic::Status> {
    if user.is_empty() {
        return Ok(Vec::new());
    }
    let request = pb::GetHistoryRequest {
        user_id: user.to_owned(),
        limit: 200,
        catalog: catalog.to_owned(),
    };
    let history = visitor.services.history(request).await?;
    let items = history.interactions.into_iter().rev();
    Ok(items.map(|interaction| interaction.item_id).collect())
}

/// The request as others send it.
fn to_copy(visitor: &Visitor, request: &pb::RecommendRequest) -> Markup {
    let mut body = json!({"user_id": request.user_id, "k": request.k});
    for (name, value) in
        [("filter", &request.filter), ("query", &request.query)]
    {
        if !value.is_empty() {
            body[name] = json!(value);
        }
    }
    if !request.history.is_empty() {
        let items = request.history.iter();
        let items: Vec<_> =
            items.map(|it| json!({"item_id": it.item_id})).collect();
        body["history"] = json!(items);
    }
    if request.explain {
        body["explain"] = json!(true);
    }
    if let Some(pb::recommend_request::Model::ModelVersion(version)) =
        &request.model
    {
        body["model_version"] = json!(version);
    }
    let url = visitor.backend.scorer_url();
    let copied = Copied {
        body: &body,
        url,
        has_token: visitor.has_token,
    };
    html! {
        details {
            summary { "This request for a program" }
            @if visitor.has_token { p.hint { "With your token in the variable " code { "TOKEN" } "." } }
            h3 { "Python" }
            pre { code { (copied.python()) } }
            h3 { "curl" }
            pre { code { (copied.curl()) } }
            h3 { "grpcurl" }
            pre { code { (copied.grpcurl()) } }
        }
    }
}
