//! How answers are written: text for people, JSON for programs.

use std::collections::{BTreeMap, HashMap};

use proto::pb;
use serde_json::{Value, json};

/// Text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One answer, as one JSON line or as text.
    pub(crate) fn write(self, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{value}");
        } else {
            println!("{}", text());
        }
    }
}

/// Names the records that a list leaves out; on stderr, since they are no part of the answer.
pub(crate) fn unreadable(kind: &str, keys: &[String]) {
    for key in keys {
        eprintln!("{kind} {key} cannot be read and is left out; the coordinator's log says why");
    }
}

/// An error with its causes; for a refused call, what the service said and which fields it named.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    error.chain().map(one).collect::<Vec<_>>().join(": ")
}

fn one(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<tonic::Status>() {
        Some(status) => details(status),
        None => error.to_string(),
    }
}

/// Code and message of a refused call; the message names the fields already.
fn details(status: &tonic::Status) -> String {
    let code = status.code();
    let hint = if code == tonic::Code::Unavailable && status.message().contains("connect") {
        " (is the service running? `cllm4rec up` starts all of them)"
    } else if code == tonic::Code::Unauthenticated {
        " (set the token: CLLM4REC__SCORER__TOKEN, CLLM4REC__COORDINATOR__TOKEN)"
    } else {
        ""
    };
    format!("{code:?}: {}{hint}", status.message())
}

/// Milliseconds since 1970.
fn millis(time: Option<prost_types::Timestamp>) -> Option<i64> {
    time.map(|time| time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000)
}

pub(crate) fn job(job: &pb::Job) -> Value {
    let progress = job.progress.clone().unwrap_or_default();
    json!({
        "name": job.name,
        "state": job.state().as_str_name(),
        "dataset": job.spec.as_ref().map(|spec| &spec.dataset),
        "create_time_ms": millis(job.create_time),
        "update_time_ms": millis(job.update_time),
        "stage": progress.stage,
        "epoch": progress.epoch,
        "n_epochs": progress.n_epochs,
        "step": progress.step,
        "n_steps": progress.n_steps,
        "loss": progress.loss,
        "tokens_per_second": progress.tokens_per_second,
        "done": progress.done,
        "eta_seconds": progress.eta_seconds,
        "device": progress.device,
        "parts": parts(&progress.parts),
        "tokens_at_once": progress.tokens_at_once,
        "stages": progress.stages.iter().map(stage).collect::<Vec<_>>(),
        "attempts": job.attempts,
        "worker": job.worker,
        "cause": job.cause.as_ref().map(|cause| json!({ "kind": cause.kind().as_str_name(), "message": cause.message })),
        "metrics": sorted(&job.metrics),
        "model_version": job.model_version,
        "notes": job.notes,
        "epochs": progress.epochs.iter().map(epoch).collect::<Vec<_>>(),
    })
}

/// Where the time went, by name.
fn parts(parts: &HashMap<String, pb::Spent>) -> BTreeMap<&String, Value> {
    parts
        .iter()
        .map(|(name, spent)| {
            (
                name,
                json!({ "seconds": spent.seconds, "n_tokens": spent.n_tokens }),
            )
        })
        .collect()
}

fn epoch(epoch: &pb::EpochReport) -> Value {
    json!({
        "stage": epoch.stage, "epoch": epoch.epoch, "loss": epoch.loss, "valid_ndcg@100": epoch.valid_ndcg_100,
    })
}

fn stage(stage: &pb::StageReport) -> Value {
    json!({
        "stage": stage.stage,
        "first_loss": stage.first_loss,
        "last_loss": stage.last_loss,
        "n_epochs": stage.n_epochs,
    })
}

/// By name, so that an answer looks the same each time.
pub(crate) fn sorted<T: Copy>(values: &HashMap<String, T>) -> BTreeMap<&String, T> {
    values.iter().map(|(name, value)| (name, *value)).collect()
}

pub(crate) fn serving_status(status: &pb::ServingStatus) -> Value {
    json!({
        "versions": status.versions.iter().map(|version| json!({
            "model_version": version.model_version, "labels": version.labels, "memory_bytes": version.memory_bytes,
            "backbone": version.backbone, "backbone_bytes": version.backbone_bytes,
        })).collect::<Vec<_>>(),
        "unloadable": status.unloadable.iter().map(|version| json!({
            "model_version": version.model_version, "cause": version.cause().as_str_name(), "message": version.message,
        })).collect::<Vec<_>>(),
        "counters": sorted(&status.counters),
        "shadow": status.shadow.as_ref().map(|shadow| json!({
            "model_version": shadow.model_version, "n_requests": shadow.n_requests, "overlap": shadow.overlap,
            "live_ms": shadow.live_ms, "shadow_ms": shadow.shadow_ms,
        })),
    })
}

pub(crate) fn model(model: &pb::ModelVersion) -> Value {
    json!({
        "name": model.name,
        "catalog": model.catalog,
        "dataset": model.dataset,
        "job": model.job,
        "labels": model.labels,
        "metrics": sorted(&model.metrics),
        "create_time_ms": millis(model.create_time),
    })
}

pub(crate) fn recommendation(answer: &pb::RecommendResponse) -> Value {
    json!({
        "items": answer.items.iter().map(|item| json!({
            "rank": item.rank, "item_id": item.item_id, "title": item.title, "score": item.score,
            "source": item.source().as_str_name(),
            "reasons": item.reasons.iter().map(|reason| json!({
                "item_id": reason.item_id, "title": reason.title, "contribution": reason.contribution,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "model_version": answer.model_version,
        "history_length": answer.history_length,
        "cached": answer.cached,
        "degradations": answer.degradations.iter().map(|degradation| json!({
            "kind": degradation.kind().as_str_name(), "message": degradation.message,
        })).collect::<Vec<_>>(),
    })
}

/// A ranked list for people, each item with the strongest of its reasons where it has any.
pub(crate) fn ranking(items: &[pb::RecommendedItem]) -> String {
    const N_REASONS: usize = 3;
    let mut lines = Vec::new();
    for item in items {
        let line = format!(
            "{:>4}. {:>8.3}  {}  {}",
            item.rank, item.score, item.item_id, item.title
        );
        lines.push(line.trim_end().to_owned());
        lines.extend(item.reasons.iter().take(N_REASONS).map(|reason| {
            let line = format!(
                "{:>14}{:+.3}  because of {}  {}",
                "", reason.contribution, reason.item_id, reason.title
            );
            line.trim_end().to_owned()
        }));
    }
    lines.join("\n")
}

pub(crate) fn interaction(interaction: &pb::Interaction) -> Value {
    json!({ "item_id": interaction.item_id, "time_ms": millis(interaction.time), "event_id": interaction.event_id })
}

/// A specification that was only checked.
pub(crate) fn valid(job: &pb::Job) -> String {
    let lines = std::iter::once("the specification is valid".to_owned());
    lines
        .chain(job.notes.iter().cloned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is reported of a ranking.
pub(crate) const METRICS: [&str; 3] = ["recall@20", "recall@40", "ndcg@100"];

/// Who is compared: name and prefix of the metrics.
pub(crate) const RANKERS: [(&str, &str); 5] = [
    ("cllm4rec", ""),
    ("language model", "llm_"),
    ("EASE", "ease_"),
    ("item-kNN", "knn_"),
    ("popularity", "popularity_"),
];

/// A job's metrics beside the simpler methods'.
pub(crate) fn metrics_table(job: &pb::Job) -> String {
    let mut table = format!(
        "{:<15} {:>10} {:>10} {:>10}   (test split)",
        "", METRICS[0], METRICS[1], METRICS[2]
    );
    for (name, prefix) in RANKERS {
        table.push_str(&format!("\n{name:<15}"));
        for metric in METRICS {
            match job.metrics.get(&format!("{prefix}{metric}")) {
                Some(value) => table.push_str(&format!(" {value:>10.4}")),
                None => table.push_str(&format!(" {:>10}", "-")),
            }
        }
    }
    table
}
