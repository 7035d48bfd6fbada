//! Two versions side by side: metrics, what differs in their specifications,
//! and what a user gets from each.

use std::collections::BTreeSet;

use axum::extract::Query;
use domain::{Metric, RankedBy};
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use wording::change;

use crate::failure::{Failure, said};
use crate::view::job::changed_fields;
use crate::view::layout;
use crate::view::list::list;
use crate::view::metrics::value;
use crate::view::written::{id, minute, short};
use crate::visitor::Visitor;

/// Items of each list.
const K: u32 = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Two {
    one: String,
    other: String,
    user: String,
}

pub(crate) async fn page(
    visitor: Visitor,
    Query(two): Query<Two>,
) -> Result<Markup, Failure> {
    let services = &visitor.services;
    let (one, other) = futures::try_join!(
        services.version(&two.one),
        services.version(&two.other)
    )?;
    let title = format!("From {} to {}", short(&one.name), short(&other.name));
    let lists = if two.user.is_empty() {
        html! { p.hint { "Name a user to see what they get from each." } }
    } else {
        html! {
            div.columns {
                (one_list(&visitor, &one, &two.user).await)
                (one_list(&visitor, &other, &two.user).await)
            }
        }
    };
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            (metrics(&one, &other))
            h2 { "What differs in what they were to do" }
            (differences(&one, &other))
            h2 { "Lists" }
            form.row action="/models/compare" {
                input type="hidden" name="one" value=(two.one);
                input type="hidden" name="other" value=(two.other);
                label { "User " input name="user" value=(two.user) required; }
                button { "Show" }
            }
            (lists)
        },
    ))
}

fn metrics(one: &pb::ModelVersion, other: &pb::ModelVersion) -> Markup {
    let is_same_data = one.dataset == other.dataset;
    html! {
        @if !is_same_data {
            p.wrong {
                "They were measured on different data sets: the figures do not say which is better. This measures both on the same held-out interactions: "
                code { "cllm4rec models compare " (short(&one.name)) " " (short(&other.name)) }
            }
        }
        div.wide tabindex="0" role="group" aria-label="Metrics of both" {
            table.numbers {
                thead {
                    tr {
                        th scope="col" { "Test split" }
                        th scope="col" { (short(&one.name)) br; span.quiet { (minute(one.create_time)) } }
                        th scope="col" { (short(&other.name)) br; span.quiet { (minute(other.create_time)) } }
                        th scope="col" { "Change" }
                    }
                }
                tbody {
                    @for ranker in [RankedBy::Served, RankedBy::LanguageModel] {
                        @for metric in Metric::ALL {
                            tr.served[ranker == RankedBy::Served] {
                                th scope="row" { (ranker.label()) ", " (metric.name()) }
                                td { (value(&one.metrics, ranker, metric)) }
                                td { (value(&other.metrics, ranker, metric)) }
                                td { (change_of(one, other, &ranker.key(metric))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn change_of(
    one: &pb::ModelVersion,
    other: &pb::ModelVersion,
    key: &str,
) -> String {
    match (one.metrics.get(key), other.metrics.get(key)) {
        (Some(one), Some(other)) if *one > 0.0 => change(other / one),
        _ => String::new(),
    }
}

fn differences(one: &pb::ModelVersion, other: &pb::ModelVersion) -> Markup {
    let (ours, theirs) = match (
        changed_fields(one.spec.as_ref()),
        changed_fields(other.spec.as_ref()),
    ) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(status), _) | (_, Err(status)) => {
            return html! { p.wrong { (said(&status)) } };
        }
    };
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing: Vec<&String> = paths
        .into_iter()
        .filter(|path| ours.get(*path) != theirs.get(*path))
        .collect();
    let shown = |value: Option<&String>| {
        value.map_or("(default)".to_owned(), Clone::clone)
    };
    html! {
        @if differing.is_empty() {
            p.hint { "Nothing but the data set, if that." }
        } @else {
            dl.facts {
                @for path in differing {
                    div {
                        dt { code { (path) } }
                        dd { (shown(ours.get(path))) " → " (shown(theirs.get(path))) }
                    }
                }
            }
        }
    }
}

async fn one_list(
    visitor: &Visitor,
    version: &pb::ModelVersion,
    user: &str,
) -> Markup {
    let request = pb::RecommendRequest {
        user_id: user.to_owned(),
        k: Some(K),
        model: Some(pb::recommend_request::Model::ModelVersion(
            version.name.clone(),
        )),
        ..Default::default()
    };
    let answer = visitor.services.recommend(request).await;
    html! {
        section aria-label=(format!("List of {}", short(&version.name))) {
            h3 { a href=(format!("/models/{}", id(&version.name))) { (short(&version.name)) } }
            @match answer {
                Ok(answer) => (list(&answer)),
                Err(status) => p.wrong { (said(&status)) },
            }
        }
    }
}
