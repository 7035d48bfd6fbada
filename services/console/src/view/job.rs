//! A job: its state, and what differs from the defaults in what it is to do.

use std::collections::BTreeMap;

use domain::TrainSpec;
use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;
use tonic::Status;
use wording::duration;

use crate::view::written::{id, percent, short, state};

/// The state as a coloured word.
pub(crate) fn badge(job: &pb::Job) -> Markup {
    let name = state(job.state());
    html! { span.badge data-state=(name) { (name) } }
}

/// The state, and the way to the job's page.
pub(crate) fn place(job: &pb::Job) -> Markup {
    html! {
        (badge(job)) " "
        a href=(format!("/jobs/{}", id(&job.name))) { (short(&job.name)) }
    }
}

/// How far a job is that has not ended: a bar, the stage, the time left.
pub(crate) fn progress(job: &pb::Job) -> Markup {
    let progress = job.progress.clone().unwrap_or_default();
    let is_running = job.state() == State::Running;
    html! {
        @if is_running && !progress.stage.is_empty() {
            @let done = percent(progress.done);
            progress max="1" value=(progress.done) aria-label=(format!("{done} done")) {}
            " " (done) ", " (progress.stage) " "
            (progress.epoch) "/" (progress.n_epochs)
            @if progress.eta_seconds >= 1.0 {
                ", " (duration(progress.eta_seconds)) " left"
            }
        } @else if is_running {
            "begins"
        } @else if job.state() == State::Queued {
            @if !job.no_taker.is_empty() {
                (job.no_taker)
            } @else if !job.awaits.is_empty() {
                "waits for " (job.awaits.len()) " other jobs"
            } @else {
                "waits for a worker"
            }
        }
    }
}

/// The fields of a specification that are not the defaults, by their paths, as
/// they are typed; without its data set and labels, which have places of their
/// own. An error where it cannot be read.
pub(crate) fn changed_fields(
    spec: Option<&pb::TrainSpec>,
) -> Result<BTreeMap<String, String>, Status> {
    let spec = spec.cloned().unwrap_or_default();
    let spec = TrainSpec::try_from(spec).map_err(|error| {
        Status::failed_precondition(format!(
            "its specification cannot be read: {error}"
        ))
    })?;
    let mut changed = spec.changed_fields();
    changed.retain(|path, _| path != "dataset" && path != "labels");
    Ok(changed)
}

/// The fields that are not the defaults, as rows of a list of facts; or that
/// they cannot be read.
pub(crate) fn field_rows(spec: Option<&pb::TrainSpec>) -> Markup {
    match changed_fields(spec) {
        Ok(fields) => html! {
            @for (path, value) in fields {
                div { dt { code { (path) } } dd { (value) } }
            }
        },
        Err(status) => html! {
            div { dt { "Settings" } dd { (status.message()) } }
        },
    }
}
