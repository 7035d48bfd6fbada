//! Answers for programs: messages of the API as JSON, with field names that
//! stay.

use std::collections::{BTreeMap, HashMap};

use proto::{milliseconds, pb};
use serde_json::{Value, json};

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
        "stages": list(&progress.stages, stage),
        "attempts": job.attempts,
        "worker": job.worker,
        "cause": job.cause.as_ref().map(cause),
        "outage": job.outage.as_ref().map(outage),
        "schedule": job.schedule.as_ref().map(schedule),
        "awaits": job.awaits,
        "no_taker": job.no_taker,
        "metrics": sorted(&job.metrics),
        "model_version": job.model_version,
        "notes": job.notes,
        "epochs": list(&progress.epochs, epoch),
    })
}

/// Where the time went, by the name of the part.
fn parts(parts: &HashMap<String, pb::Spent>) -> BTreeMap<&String, Value> {
    let mut by_name = BTreeMap::new();
    for (name, spent) in parts {
        let value = json!({
            "seconds": spent.seconds,
            "n_tokens": spent.n_tokens,
        });
        by_name.insert(name, value);
    }
    by_name
}

fn stage(stage: &pb::StageReport) -> Value {
    json!({
        "stage": stage.stage,
        "first_loss": stage.first_loss,
        "last_loss": stage.last_loss,
        "n_epochs": stage.n_epochs,
    })
}

fn cause(cause: &pb::Cause) -> Value {
    json!({
        "kind": cause.kind().as_str_name(),
        "message": cause.message,
    })
}

fn outage(outage: &pb::Outage) -> Value {
    json!({
        "since_ms": millis(outage.since),
        "next_try_ms": millis(outage.next_try),
        "until_ms": millis(outage.until),
        "n_attempts": outage.n_attempts,
    })
}

fn schedule(schedule: &pb::Schedule) -> Value {
    let needs = schedule.needs.clone().unwrap_or_default();
    json!({
        "priority": schedule.priority,
        "queue": schedule.queue,
        "start_after_ms": millis(schedule.start_after),
        "deadline_ms": millis(schedule.deadline),
        "after": schedule.after,
        "needs": {
            "labels": needs.labels,
            "memory_gib": needs.memory_gib,
        },
    })
}

fn epoch(epoch: &pb::EpochReport) -> Value {
    json!({
        "stage": epoch.stage,
        "epoch": epoch.epoch,
        "loss": epoch.loss,
        "valid_ndcg@100": epoch.valid_ndcg_100,
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
        "final_fit": model.final_fit,
        "dataset_name": model.dataset_name,
        "train_seconds": model.train_seconds,
        "create_time_ms": millis(model.create_time),
    })
}

pub(crate) fn serving_status(status: &pb::ServingStatus) -> Value {
    json!({
        "versions": list(&status.versions, loaded_version),
        "unloadable": list(&status.unloadable, unloadable_version),
        "counters": sorted(&status.counters),
        "shadow": status.shadow.as_ref().map(shadow),
    })
}

fn loaded_version(version: &pb::LoadedVersion) -> Value {
    json!({
        "model_version": version.model_version,
        "labels": version.labels,
        "memory_bytes": version.memory_bytes,
        "backbone": version.backbone,
        "backbone_bytes": version.shared_bytes,
    })
}

fn unloadable_version(version: &pb::UnloadableVersion) -> Value {
    json!({
        "model_version": version.model_version,
        "cause": version.cause().as_str_name(),
        "message": version.message,
    })
}

fn shadow(shadow: &pb::ShadowReport) -> Value {
    json!({
        "model_version": shadow.model_version,
        "n_requests": shadow.n_requests,
        "overlap": shadow.overlap,
        "live_ms": shadow.live_ms,
        "shadow_ms": shadow.shadow_ms,
    })
}

pub(crate) fn recommendation(answer: &pb::RecommendResponse) -> Value {
    json!({
        "items": list(&answer.items, recommended_item),
        "model_version": answer.model_version,
        "history_length": answer.history_length,
        "cached": answer.cached,
        "degradations": list(&answer.degradations, degradation),
    })
}

pub(crate) fn similar(answer: &pb::SimilarItemsResponse) -> Value {
    json!({
        "items": list(&answer.items, recommended_item),
        "model_version": answer.model_version,
    })
}

fn recommended_item(item: &pb::RecommendedItem) -> Value {
    json!({
        "rank": item.rank,
        "item_id": item.item_id,
        "title": item.title,
        "score": item.score,
        "source": item.source().as_str_name(),
        "query_contribution": item.query_contribution,
        "reasons": list(&item.reasons, reason),
    })
}

fn reason(reason: &pb::Reason) -> Value {
    json!({
        "item_id": reason.item_id,
        "title": reason.title,
        "contribution": reason.contribution,
    })
}

fn degradation(degradation: &pb::Degradation) -> Value {
    json!({
        "kind": degradation.kind().as_str_name(),
        "message": degradation.message,
    })
}

pub(crate) fn history(history: &pb::GetHistoryResponse) -> Value {
    json!({
        "interactions": list(&history.interactions, interaction),
        "deleted": history.deleted,
    })
}

fn interaction(interaction: &pb::Interaction) -> Value {
    json!({
        "item_id": interaction.item_id,
        "time_ms": millis(interaction.time),
        "event_id": interaction.event_id,
    })
}

fn list<T>(values: &[T], one: impl Fn(&T) -> Value) -> Vec<Value> {
    values.iter().map(one).collect()
}

/// Sorted by name, so that an answer looks the same each time.
pub(crate) fn sorted<T: Copy>(
    values: &HashMap<String, T>,
) -> BTreeMap<&String, T> {
    values.iter().map(|(name, value)| (name, *value)).collect()
}

/// A time in milliseconds since 1970.
fn millis(time: Option<prost_types::Timestamp>) -> Option<i64> {
    time.map(milliseconds)
}
