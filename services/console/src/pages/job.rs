//! One job: how it is, its curves, what happened, what it is to do.

use axum::Form;
use axum::extract::Path;
use axum::response::Redirect;
use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;
use serde::Deserialize;
use tonic::Status;
use wording::duration;

use crate::backend::PATIENCE;
use crate::failure::Failure;
use crate::pages::datasets::Names;
use crate::pages::live::event_line;
use crate::view::curves::{Curves, charts};
use crate::view::job::{badge, field_rows, progress};
use crate::view::layout::{self, form_key};
use crate::view::metrics::{lift, table};
use crate::view::written::{id, in_path, minute, short};
use crate::visitor::Visitor;

/// Events that are shown of the past.
const N_EVENTS: u64 = 200;

pub(crate) async fn page(
    visitor: Visitor,
    Path(wanted): Path<String>,
) -> Result<Markup, Failure> {
    let job = visitor.services.job(&wanted).await?;
    let events = tokio::time::timeout(PATIENCE, past(&visitor, &job)).await;
    let events = events.map_err(|_| {
        Status::deadline_exceeded("the coordinator does not tell what happened")
    })??;
    let names = Names::of(&visitor).await;
    let title = format!("Job {}", short(&job.name));
    let live = (!job.state().is_final())
        .then(|| format!("/jobs/{wanted}/live?from={}", job.n_events + 1));
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            link rel="stylesheet" href="/assets/uplot.min.css";
            script src="/assets/uplot.min.js" defer {}
            script src="/assets/console.js" defer {}
            h1 { (title) }
            p.hint { (job.name) }
            div id="now" data-live=[live] { (now(&job)) }
            (actions(&visitor, &job))
            h2 { "Curves" }
            (charts(&[Curves::of(&job)]))
            @if !job.metrics.is_empty() {
                h2 { "Test split" }
                (table(&job.metrics))
            }
            h2 { "What it is to do" }
            (settings(&job, &names))
            h2 { "What happened" }
            ol.events id="events" tabindex="0" aria-label="What happened" { @for event in &events { (event_line(event)) } }
        },
    ))
}

/// What changes while it runs.
pub(crate) fn now(job: &pb::Job) -> Markup {
    html! {
        p { (badge(job)) " " (progress(job)) }
        @if let Some(cause) = &job.cause {
            p.wrong { (cause.kind().as_str_name()) ": " (cause.message) }
        }
        dl.facts {
            div { dt { "Submitted" } dd { (minute(job.create_time)) } }
            @if job.state().is_final() {
                div { dt { "Ended" } dd { (minute(job.update_time)) } }
            }
            div { dt { "Attempts" } dd { (job.attempts) } }
            @if !job.worker.is_empty() {
                div { dt { "Worker" } dd { (job.worker) } }
            }
            @if let Some(progress) = &job.progress {
                @if !progress.device.is_empty() {
                    div { dt { "Device" } dd { (progress.device) } }
                }
                @if progress.tokens_per_second > 0.0 && !job.state().is_final() {
                    div { dt { "Speed" } dd { (format!("{:.0} tokens/s", progress.tokens_per_second)) } }
                }
                @if progress.loss > 0.0 && !job.state().is_final() {
                    div { dt { "Loss of the latest step" } dd { (format!("{:.4} nats", progress.loss)) } }
                }
            }
            @if !job.model_version.is_empty() {
                div {
                    dt { "Model" }
                    dd {
                        a href=(format!("/models/{}", id(&job.model_version))) { (short(&job.model_version)) }
                        ", " (lift(&job.metrics))
                    }
                }
            }
            (spent(job))
        }
    }
}

/// What the attempt's time went to, the longest first.
fn spent(job: &pb::Job) -> Markup {
    let parts = job.progress.iter().flat_map(|it| &it.parts);
    let mut parts: Vec<_> =
        parts.map(|(name, spent)| (name, spent.seconds)).collect();
    parts.retain(|(_, seconds)| *seconds >= 0.05);
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    html! {
        @if !parts.is_empty() {
            div {
                dt { "Time" }
                dd {
                    @for (n, (name, seconds)) in parts.iter().enumerate() {
                        @if n > 0 { ", " }
                        (name) " " (duration(*seconds))
                    }
                }
            }
        }
    }
}

fn actions(visitor: &Visitor, job: &pb::Job) -> Markup {
    let path = format!("/jobs/{}", id(&job.name));
    let may_retry = matches!(job.state(), State::Failed | State::Cancelled);
    html! {
        div.row {
            @if !job.state().is_final() && job.state() != State::Cancelling {
                form method="post" action=(format!("{path}/cancel")) {
                    (form_key(visitor))
                    button { "Cancel" }
                }
            }
            @if may_retry {
                form method="post" action=(format!("{path}/retry")) {
                    (form_key(visitor))
                    button { "Try again" }
                }
            }
            a.button href=(format!("/jobs/new?like={}", id(&job.name))) {
                "Another one like it"
            }
        }
    }
}

fn settings(job: &pb::Job, names: &Names) -> Markup {
    let Some(spec) = &job.spec else {
        return html! { p.wrong { "Its specification cannot be read." } };
    };
    html! {
        dl.facts {
            div {
                dt { "Data set" }
                dd { a href=(format!("/datasets/{}", id(&spec.dataset))) { (names.shown(&spec.dataset)) } }
            }
            @if !spec.labels.is_empty() {
                div { dt { "Moves" } dd { (spec.labels.join(", ")) } }
            }
            (field_rows(Some(spec)))
        }
        p.hint { "Everything else is as by default." }
    }
}

/// The latest events of the past. The stream of a job that runs goes on; it is
/// left at the last event that there was.
async fn past(
    visitor: &Visitor,
    job: &pb::Job,
) -> Result<Vec<pb::JobEvent>, Status> {
    let from = job.n_events.saturating_sub(N_EVENTS) + 1;
    let mut events = Vec::new();
    if job.n_events == 0 {
        return Ok(events);
    }
    let mut stream = visitor.services.watch(id(&job.name), from).await?;
    while let Some(event) = stream.message().await? {
        let is_last = event.number >= job.n_events;
        events.push(event);
        if is_last {
            break;
        }
    }
    Ok(events)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    form_key: String,
}

pub(crate) async fn cancel(
    visitor: Visitor,
    Path(wanted): Path<String>,
    Form(form): Form<Change>,
) -> Result<Redirect, Failure> {
    visitor.check(&form.form_key)?;
    visitor.services.cancel(&wanted).await?;
    Ok(Redirect::to(&format!("/jobs/{}", in_path(&wanted))))
}

pub(crate) async fn retry(
    visitor: Visitor,
    Path(wanted): Path<String>,
    Form(form): Form<Change>,
) -> Result<Redirect, Failure> {
    visitor.check(&form.form_key)?;
    visitor.services.retry(&wanted).await?;
    Ok(Redirect::to(&format!("/jobs/{}", in_path(&wanted))))
}
