//! All jobs, the newest first, with filters.

use axum::extract::Query;
use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;
use serde::Deserialize;

use crate::failure::Failure;
use crate::pages::datasets::Names;
use crate::view::job::{badge, progress};
use crate::view::layout;
use crate::view::metrics::lift;
use crate::view::written::{NONE, id, minute, query, short, state};
use crate::visitor::Visitor;

/// Jobs on a page.
const N_SHOWN: i32 = 50;

/// Which jobs are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    /// A state in words; empty: any.
    state: String,
    label: String,
    dataset: String,
    page: String,
}

const STATES: [State; 6] = [
    State::Queued,
    State::Running,
    State::Cancelling,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
];

pub(crate) async fn page(
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Markup, Failure> {
    let wanted = STATES.iter().find(|it| state(**it) == filter.state);
    let request = pb::ListJobsRequest {
        page_size: N_SHOWN,
        page_token: filter.page.clone(),
        state: wanted.map_or(0, |state| (*state).into()),
        dataset: filter.dataset.clone(),
        label: filter.label.clone(),
        newest_first: true,
    };
    let names = Names::of(&visitor).await;
    let listed = visitor.services.jobs(request).await?;
    Ok(layout::page(
        &visitor,
        "Jobs",
        &html! {
            h1 { "Jobs" }
            p { a.button href="/jobs/new" { "Train a model" } }
            (filters(&filter, &names))
            (table(&listed, &names))
            (next(&filter, &listed.next_page_token))
        },
    ))
}

fn filters(filter: &Filter, names: &Names) -> Markup {
    html! {
        form.row action="/jobs" {
            label {
                "State "
                select name="state" {
                    option value="" { "any" }
                    @for it in STATES {
                        option selected[state(it) == filter.state] { (state(it)) }
                    }
                }
            }
            label {
                "Data set "
                select name="dataset" {
                    option value="" { "any" }
                    @for (name, shown) in names.all() {
                        option value=(name) selected[name == filter.dataset] { (shown) }
                    }
                }
            }
            label {
                "Label "
                input name="label" size="12" value=(filter.label);
            }
            button { "Show" }
        }
    }
}

fn table(listed: &pb::ListJobsResponse, names: &Names) -> Markup {
    html! {
        @if !listed.unreadable.is_empty() {
            p.wrong {
                "The records of these jobs cannot be read; the coordinator's log says why: "
                (listed.unreadable.join(", "))
            }
        }
        @if listed.jobs.is_empty() {
            p.hint {
                "No job is like that. "
                code { "cllm4rec train submit --data orders.csv" }
                " trains on an export, " a href="/jobs/new" { "this form" } " on a data set that is stored."
            }
        } @else {
            form action="/jobs/curves" {
                div.wide tabindex="0" role="group" aria-label="Jobs" {
                    table {
                        thead {
                            tr {
                                th scope="col" { span.quiet { "Compare" } }
                                th scope="col" { "Job" }
                                th scope="col" { "State" }
                                th scope="col" { "Data set" }
                                th scope="col" { "Submitted" }
                                th scope="col" { "How it is" }
                            }
                        }
                        tbody { @for job in &listed.jobs { (row(job, names)) } }
                    }
                }
                button { "Curves of those chosen" }
            }
        }
    }
}

fn row(job: &pb::Job, names: &Names) -> Markup {
    let dataset = job.spec.as_ref().map_or("", |spec| &spec.dataset);
    let labels = job.spec.as_ref().map(|spec| spec.labels.join(", "));
    let labels = labels.filter(|labels| !labels.is_empty());
    let shown = short(&job.name);
    html! {
        tr {
            td {
                input type="checkbox" name="job" value=(id(&job.name)) aria-label=(format!("Choose job {shown}"));
            }
            td { a href=(format!("/jobs/{}", id(&job.name))) { (shown) } }
            td { (badge(job)) }
            td { (names.shown(dataset)) }
            td.nowrap { (minute(job.create_time)) }
            td {
                @match job.state() {
                    State::Succeeded => {
                        (lift(&job.metrics))
                        @if let Some(labels) = labels { ", moved " (labels) }
                    }
                    State::Failed | State::Cancelled => {
                        (job.cause.as_ref().map_or(NONE, |cause| &cause.message))
                    }
                    State::Unspecified | State::Queued | State::Running | State::Cancelling => {
                        (progress(job))
                    }
                }
            }
        }
    }
}

fn next(filter: &Filter, token: &str) -> Markup {
    let fields = [
        ("state", filter.state.as_str()),
        ("dataset", &filter.dataset),
        ("label", &filter.label),
        ("page", token),
    ];
    html! {
        @if !token.is_empty() {
            p { a href=(format!("/jobs?{}", query(&fields))) { "Older jobs" } }
        }
    }
}
