//! A job: its state, and what differs from the defaults in what it is to do.

use std::collections::BTreeMap;

use domain::TrainSpec;
use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;

use crate::view::written::{percent, state};
use wording::duration;

/// The state as a coloured word.
pub(crate) fn badge(job: &pb::Job) -> Markup {
    let name = state(job.state());
    html! { span.badge data-state=(name) { (name) } }
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
/// own. None where it cannot be read.
pub(crate) fn changed_fields(
    spec: Option<&pb::TrainSpec>,
) -> BTreeMap<String, String> {
    let spec = spec.cloned().map(TrainSpec::try_from);
    let Some(Ok(spec)) = spec else {
        return BTreeMap::new();
    };
    let mut changed = spec.changed_fields();
    changed.retain(|path, _| path != "dataset" && path != "labels");
    changed
}
