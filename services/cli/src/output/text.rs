//! Answers for people: a line or a small table for each message of the API.

use std::collections::HashMap;

use dataset::Manifest;
use domain::{Metric, RankedBy, TrainSpec};
use proto::pb::job::State;
use proto::{milliseconds, pb};
use wording::short;

use crate::names::dataset_id;
use crate::output::json::sorted;
use crate::output::plain::{minute, one_line};

/// A data set in one line.
pub(crate) fn dataset(id: &str, manifest: &Manifest) -> String {
    format!(
        "{id}  {}: {} users, {} items, {} interactions ({} train, {} valid, {} test), {} titles, {} texts",
        one_line(&manifest.name),
        manifest.n_users,
        manifest.n_items,
        manifest.n_interactions,
        manifest.n_train,
        manifest.n_valid,
        manifest.n_test,
        manifest.n_titles,
        manifest.n_texts
    )
}

/// A job in one line of a list: also when it was submitted, on which data set,
/// and the labels that its model gets.
pub(crate) fn listed_job(job: &pb::Job, dataset: Option<&str>) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let submitted = minute(job.create_time.map_or(0, milliseconds));
    let id = short(dataset_id(&spec.dataset));
    let mut line = self::job(job);
    let dataset = one_line(dataset.unwrap_or(&id));
    line.push_str(&format!("  {submitted}  {dataset}"));
    if !spec.labels.is_empty() {
        line.push_str(&format!("  for {}", spec.labels.join(", ")));
    }
    line
}

/// A job in one line.
pub(crate) fn job(job: &pb::Job) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let state = job.state().as_str_name();
    let percent = 100.0 * progress.done;
    let mut line = format!("{}  {state:<10} {percent:>3.0} %", job.name);
    if !job.model_version.is_empty() {
        line.push_str(&format!("  {}", job.model_version));
    }

    if let Some(cause) = &job.cause {
        let kind = cause.kind().as_str_name();
        line.push_str(&format!("  {kind}: {}", cause.message));
    }

    if let Some(outage) = &job.outage
        && job.state() == State::Queued
    {
        line.push_str(&waiting(outage));
    }

    if job.state() == State::Queued && !job.awaits.is_empty() {
        line.push_str(&format!("  (waits for {})", job.awaits.join(", ")));
    }

    line
}

/// How long a job has waited for what is out of reach, and how long it will.
fn waiting(outage: &pb::Outage) -> String {
    let since = seconds(outage.since);
    let next = seconds(outage.next_try) - since;
    let until = seconds(outage.until) - since;
    format!(
        "  ({} attempts met it; tried again {next} s after the first, given up after {until} s)",
        outage.n_attempts
    )
}

/// A specification that was only checked, with what the coordinator has to say
/// about it.
pub(crate) fn valid_spec(job: &pb::Job) -> String {
    let mut text = "the specification is valid".to_owned();
    for note in &job.notes {
        text.push('\n');
        text.push_str(note);
    }
    text
}

/// A job's metrics beside the simpler methods'.
pub(crate) fn metrics_table(job: &pb::Job) -> String {
    table_of(&job.metrics, is_fitted_finally(job))
}

/// The metrics of a job or a version beside the simpler methods'.
pub(crate) fn table_of(
    metrics: &HashMap<String, f64>,
    is_final_fit: bool,
) -> String {
    let mut table = format!("{:<15}", "");
    for metric in Metric::ALL {
        table.push_str(&format!(" {:>10}", metric.name()));
    }

    table.push_str("   (test split)");
    let last_line = if is_final_fit {
        format!("\n{FINAL_FIT}")
    } else {
        String::new()
    };
    for ranker in RankedBy::COMPARED {
        table.push_str(&format!("\n{:<15}", ranker.label()));
        for metric in Metric::ALL {
            let value = metrics.get(&ranker.key(metric));
            let cell =
                value.map_or("-".to_owned(), |value| format!("{value:.4}"));
            table.push_str(&format!(" {cell:>10}"));
        }
    }

    table + &last_line
}

/// What a table of metrics says of a model that was fitted once more.
pub(crate) const FINAL_FIT: &str = "Measured after training on the training split; the model was then fitted once more on all interactions";

/// True where a measured job's model was fitted once more on all interactions.
pub(crate) fn is_fitted_finally(job: &pb::Job) -> bool {
    let spec = job.spec.clone().map(TrainSpec::try_from);
    let is_asked_for = matches!(spec, Some(Ok(spec)) if spec.fits_finally());
    is_asked_for && !job.metrics.is_empty()
}

/// A line for each version, the shadow and each counter of a scorer.
pub(crate) fn serving_status(status: &pb::ServingStatus) -> String {
    let mut lines = Vec::new();
    for version in &status.versions {
        lines.push(loaded_version(version));
    }

    for version in &status.unloadable {
        lines.push(unloadable_version(version));
    }

    if let Some(report) = &status.shadow {
        lines.push(shadow(report));
    }

    for (name, n) in sorted(&status.counters) {
        lines.push(format!("{n:>12}  {name}"));
    }

    lines.join("\n")
}

fn loaded_version(version: &pb::LoadedVersion) -> String {
    let own = mib(version.memory_bytes);
    let backbone = mib(version.shared_bytes);
    let labels = version.labels.join(", ");
    format!(
        "{}  {own:.1} MiB  backbone {} {backbone:.1} MiB  {labels}",
        version.model_version, version.backbone
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn unloadable_version(version: &pb::UnloadableVersion) -> String {
    format!(
        "{}  not loaded: {}  {}",
        version.model_version,
        version.cause().as_str_name(),
        version.message
    )
}

fn shadow(report: &pb::ShadowReport) -> String {
    format!(
        "{}  shadow: {} lists, overlap {:.3}, {:.1} ms beside {:.1} ms",
        report.model_version,
        report.n_requests,
        report.overlap,
        report.shadow_ms,
        report.live_ms
    )
}

fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap_or_default().seconds
}

/// How many reasons are shown of an item.
const N_REASONS: usize = 3;

/// A ranked list, each item with the strongest of its reasons where it has any.
pub(crate) fn ranking(items: &[pb::RecommendedItem]) -> String {
    let mut lines = Vec::new();
    for item in items {
        let line = format!(
            "{:>4}. {:>8.3}  {}  {}",
            item.rank,
            item.score,
            one_line(&item.item_id),
            one_line(&item.title)
        );
        lines.push(line.trim_end().to_owned());
        for reason in item.reasons.iter().take(N_REASONS) {
            let line = format!(
                "{:>14}{:+.3}  because of {}  {}",
                "",
                reason.contribution,
                one_line(&reason.item_id),
                one_line(&reason.title)
            );
            lines.push(line.trim_end().to_owned());
        }
    }

    lines.join("\n")
}

/// A ranked list, and what was missing when it was made.
pub(crate) fn recommendation(answer: &pb::RecommendResponse) -> String {
    let mut text = ranking(&answer.items);
    if answer.items.is_empty() {
        text.push_str("no item is left: the filter, the candidates and what the user has already leave none");
    }
    for degradation in &answer.degradations {
        text.push_str(&format!("\n  note: {}", degradation.message));
    }
    text
}

/// The item ids of a history, one a line.
pub(crate) fn history(history: &pb::GetHistoryResponse) -> String {
    let mut ids = Vec::new();
    for interaction in &history.interactions {
        ids.push(one_line(&interaction.item_id));
    }
    ids.join("\n")
}
