//! One data set: what its import said and what its interactions look like.

use axum::extract::Path;
use maud::{Markup, html};
use proto::pb;
use proto::pb::dataset_profile::Band;
use wording::{grouped, range};

use crate::failure::Failure;
use crate::pages::datasets::{n_interactions, per};
use crate::view::bars::{Bar, Heads, bars};
use crate::view::job::place;
use crate::view::layout;
use crate::view::metrics::lift;
use crate::view::written::{
    NONE, dataset_name, id, in_path, minute, percent, query, shown,
};
use crate::visitor::Visitor;

pub(crate) async fn page(
    visitor: Visitor,
    Path(wanted): Path<String>,
) -> Result<Markup, Failure> {
    let details = visitor.services.dataset(&wanted).await?;
    let request = pb::ListJobsRequest {
        page_size: 20,
        dataset: dataset_name(&wanted),
        newest_first: true,
        ..Default::default()
    };
    let jobs = visitor.services.jobs(request).await?;
    let dataset = details.dataset.clone().unwrap_or_default();
    let title = format!("Data set {}", dataset.display_name);
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            p.hint { (dataset.name) ", imported " (minute(dataset.import_time)) }
            (described(&details))
            p {
                a.button href=(format!("/jobs/new?{}", query(&[("dataset", id(&dataset.name))]))) {
                    "Train on it"
                }
            }
            h2 { "Jobs on it" }
            (jobs_on_it(&jobs.jobs))
        },
    ))
}

/// All that is known of a data set, stored or not.
pub(crate) fn described(details: &pb::DatasetDetails) -> Markup {
    let dataset = details.dataset.clone().unwrap_or_default();
    html! {
        @if let Some(import) = &details.import {
            @if !import.warnings.is_empty() {
                ul.wrong { @for warning in &import.warnings { li { (warning) } } }
            }
        }
        (counts(&dataset, details.profile.as_ref()))
        @match (&details.import, &details.profile) {
            (Some(import), Some(profile)) => {
                (looks(profile))
                (samples(profile))
                (read(import))
            }
            _ => p.hint {
                "It was imported before imports were written down: what it looks like is not known. Importing the same data again changes that."
            }
        }
    }
}

fn counts(
    dataset: &pb::Dataset,
    profile: Option<&pb::DatasetProfile>,
) -> Markup {
    let n = n_interactions(dataset);
    let times = profile.and_then(|it| it.first_time.zip(it.last_time));
    html! {
        dl.facts {
            div { dt { "Users" } dd { (grouped(dataset.n_users)) } }
            div { dt { "Items" } dd { (grouped(dataset.n_items)) ", " (grouped(dataset.n_titles)) " with a title" } }
            div { dt { "Interactions" } dd { (grouped(n)) } }
            @if let Some((first, last)) = times {
                div { dt { "From, to" } dd { (minute(Some(first))) ", " (minute(Some(last))) } }
            }
            div {
                dt { "Splits" }
                dd {
                    (grouped(dataset.n_train)) " train, " (grouped(dataset.n_valid)) " validation, "
                    (grouped(dataset.n_test)) " test"
                }
            }
            div {
                dt { "On average" }
                dd {
                    (per(n, dataset.n_users)) " interactions a user, " (per(n, dataset.n_items)) " an item"
                }
            }
            div { dt { "Texts" } dd { (grouped(dataset.n_texts)) } }
            div { dt { "Catalog" } dd { (dataset.catalog) } }
        }
    }
}

/// How interactions are spread over users and items.
fn looks(profile: &pb::DatasetProfile) -> Markup {
    let popular: Vec<Bar> = profile
        .popular_items
        .iter()
        .map(|share| Bar {
            label: format!("{} of the items", percent(share.of_items)),
            size: share.of_interactions,
            shown: percent(share.of_interactions),
        })
        .collect();
    html! {
        h2 { "How interactions are spread" }
        div.columns {
            (bars(
                &Heads { caption: "Users by the length of their history", label: "Interactions", number: "Users" },
                &of_bands(&profile.users_by_interactions),
            ))
            (bars(
                &Heads { caption: "Items by how often they were taken", label: "Interactions", number: "Items" },
                &of_bands(&profile.items_by_interactions),
            ))
            (bars(
                &Heads { caption: "The long tail: interactions with the most popular items", label: "Most popular", number: "Interactions" },
                &popular,
            ))
        }
    }
}

fn of_bands(bands: &[Band]) -> Vec<Bar> {
    let bar = |band: &Band| Bar::counted(range(band.from, band.to), band.n);
    bands.iter().map(bar).collect()
}

/// Some interactions and items, to see whether they are what was meant.
fn samples(profile: &pb::DatasetProfile) -> Markup {
    html! {
        h2 { "Some of its interactions" }
        div.wide tabindex="0" role="group" aria-label="Some interactions" {
            table {
                thead {
                    tr {
                        th scope="col" { "User" }
                        th scope="col" { "Item" }
                        th scope="col" { "When" }
                        th scope="col" { "Split" }
                    }
                }
                tbody {
                    @for row in &profile.interactions {
                        tr {
                            td { a href=(format!("/try?{}", query(&[("user", &row.user_id)]))) { (row.user_id) } }
                            td { a href=(format!("/items/{}", in_path(&row.item_id))) { (shown(&row.title, &row.item_id)) } }
                            td.nowrap { (minute(row.time)) }
                            td { (row.split) }
                        }
                    }
                }
            }
        }
        h2 { "Some of its items" }
        div.wide tabindex="0" role="group" aria-label="Some items" {
            table {
                thead {
                    tr {
                        th scope="col" { "Item" }
                        th scope="col" { "Title" }
                        th scope="col" { "Categories" }
                        th scope="col" { "Interactions" }
                    }
                }
                tbody {
                    @for row in &profile.items {
                        tr {
                            td { a href=(format!("/items/{}", in_path(&row.item_id))) { (row.item_id) } }
                            td { (if row.title.is_empty() { NONE } else { &row.title }) }
                            td { (row.categories.join(" › ")) }
                            td { (grouped(row.n_interactions)) }
                        }
                    }
                }
            }
        }
    }
}

/// What the import read.
fn read(import: &pb::ImportSummary) -> Markup {
    html! {
        h2 { "What the import read" }
        dl.facts {
            div { dt { "Lines" } dd { (grouped(import.n_read)) ", " (grouped(import.n_refused)) " of them refused" } }
            div { dt { "Left out" } dd { (grouped(import.n_repeats)) " repeats, " (grouped(import.n_outside_core)) " with too few others" } }
        }
        ul.plain {
            @for line in import.columns.iter().chain(&import.notes) { li { (line) } }
        }
    }
}

fn jobs_on_it(jobs: &[pb::Job]) -> Markup {
    html! {
        @if jobs.is_empty() {
            p.hint { "There is none." }
        } @else {
            ul.plain {
                @for job in jobs {
                    li {
                        (place(job))
                        " " (minute(job.create_time))
                        @if !job.metrics.is_empty() { ", " (lift(&job.metrics)) }
                    }
                }
            }
        }
    }
}
