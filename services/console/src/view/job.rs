//! A job: its state, and what differs from the defaults in what it is to do.

use std::collections::BTreeMap;

use domain::TrainSpec;
use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;
use serde_json::Value;

use crate::view::written::{duration, percent, state};

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
    let defaults = fields(&TrainSpec::new(spec.dataset.clone()));
    let mut changed = fields(&spec);
    changed.retain(|path, value| {
        let is_shown_elsewhere = path == "dataset" || path == "labels";
        !is_shown_elsewhere && defaults.get(path) != Some(value)
    });
    changed
}

/// Every field of a specification by its path.
fn fields(spec: &TrainSpec) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(spec) {
        add(&mut found, "", &value);
    }
    found
}

fn add(found: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                add(found, &inner, value);
            }
        }
        Value::String(text) => {
            drop(found.insert(path.to_owned(), text.clone()))
        }
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            found.insert(path.to_owned(), value.to_string());
        }
    }
}
