//! What is promised, whatever has happened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::pb;
use proto::pb::job::State;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::Connection;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::asking::{request, within};
use crate::both_ways::BothWays;
use crate::chaos::site::Site;
use crate::damage::entries;

/// Within so long everything is as it should be.
const SOON: Duration = Duration::from_secs(120);
/// What nobody has interrupted takes no longer.
pub(super) const AT_ONCE: Duration = Duration::from_secs(5);
const CALL_TIME: Duration = Duration::from_secs(5);

/// Checks every promise; the error says which one is broken. `versions` are
/// those of undisturbed runs, by specification.
pub(super) async fn check(
    site: &mut Site,
    versions: &[String],
) -> Result<(), String> {
    let latest = every_job_ended_once(site, versions).await?;
    soon(async || labels_are_kept(site, &latest).await).await?;
    soon(async || versions_are_those(site, versions).await).await?;
    soon(async || {
        let histories = site.cluster.histories();
        site.ledger.missing(histories).await
    })
    .await?;
    soon(async || is_served(site.cluster.recommendations(), &latest).await)
        .await?;
    tidy(site).await?;
    soon(async || keep(site, &latest).await).await?;
    site.kept = Some(latest);
    Ok(())
}

/// Every accepted job has succeeded, once, with the version of its
/// specification; returns that of the latest one.
async fn every_job_ended_once(
    site: &Site,
    versions: &[String],
) -> Result<String, String> {
    let mut latest = String::new();
    // Names ascend in the order of acceptance.
    for (name, spec) in &site.accepted {
        let job = soon(async || succeeded(site.cluster.training(), name).await)
            .await?;
        if job.model_version != versions[*spec] {
            return Err(format!(
                "{name} has {}, an undisturbed run {}",
                job.model_version, versions[*spec]
            ));
        }
        soon(async || published_once(site.cluster.training(), name).await)
            .await?;
        latest = job.model_version;
    }
    Ok(latest)
}

/// The job, where it has succeeded.
pub(super) async fn succeeded(
    mut training: TrainingServiceClient<Connection>,
    name: &str,
) -> Result<pb::Job, String> {
    let call = pb::GetJobRequest {
        name: name.to_owned(),
    };
    let answer = training.get_job(within(CALL_TIME, call)).await;
    let answer = answer.map_err(|status| format!("{name}: {status}"));
    let job = answer?.into_inner();
    if job.state() == State::Succeeded {
        return Ok(job);
    }
    Err(format!(
        "{name} is {:?} after {} attempts: {:?}",
        job.state(),
        job.attempts,
        job.cause
    ))
}

/// A job's events say once that its version was published.
pub(super) async fn published_once(
    mut training: TrainingServiceClient<Connection>,
    name: &str,
) -> Result<(), String> {
    let call = pb::WatchJobRequest {
        name: name.to_owned(),
        from_number: 1,
    };
    let stream = training.watch_job(within(CALL_TIME, call)).await;
    let stream = stream.map_err(|status| format!("{name}: {status}"));
    let mut stream = stream?.into_inner();
    let mut n_published = 0;
    loop {
        let event = stream.message().await;
        let event = event.map_err(|status| format!("{name}: {status}"))?;
        let Some(event) = event else { break };
        n_published += usize::from(event.message.contains("published"));
    }
    is_true(n_published == 1, || {
        format!("{name} was published {n_published} times")
    })
}

/// `live` points to what was published last, `kept` to where it was put.
async fn labels_are_kept(site: &Site, latest: &str) -> Result<(), String> {
    let found = listed(site).await?;
    for version in found {
        let has = |label: &str| version.labels.iter().any(|at| at == label);
        let name = Some(version.name.as_str());
        if has("live") != (name == Some(latest)) {
            return Err(format!("`live` is not at {latest} alone"));
        }
        if has("kept") != (name == site.kept.as_deref()) {
            return Err(format!("`kept` is not at {:?} alone", site.kept));
        }
    }
    Ok(())
}

/// The registry has each version once, and no other.
async fn versions_are_those(
    site: &Site,
    versions: &[String],
) -> Result<(), String> {
    let found = listed(site).await?;
    let mut found: Vec<String> =
        found.into_iter().map(|version| version.name).collect();
    found.sort();
    let specs = site.accepted.values();
    let mut wanted: Vec<String> =
        specs.map(|spec| versions[*spec].clone()).collect();
    wanted.sort();
    wanted.dedup();
    is_true(found == wanted, || {
        format!("the registry has {found:?}, accepted jobs {wanted:?}")
    })
}

async fn listed(site: &Site) -> Result<Vec<pb::ModelVersion>, String> {
    let call = pb::ListModelVersionsRequest::default();
    let mut models = site.cluster.models();
    let answer = models.list_model_versions(within(CALL_TIME, call)).await;
    let answer = answer.map_err(|status| format!("list: {status}"))?;
    Ok(answer.into_inner().model_versions)
}

/// The scorer serves a version.
pub(super) async fn is_served(
    mut recommendations: RecommendationServiceClient<BothWays>,
    latest: &str,
) -> Result<(), String> {
    let call = within(CALL_TIME, request("u0", 5));
    let answer = recommendations.recommend(call).await;
    let answer = answer.map_err(|status| format!("recommend: {status}"))?;
    let served = answer.into_inner().model_version;
    is_true(served == latest, || {
        format!("the scorer serves {served} and not {latest}")
    })
}

/// Nothing is left of attempts: at once, or where the call that ends a job was
/// cut off, after the coordinator has looked around, which it does when it
/// starts, and every ten minutes.
async fn tidy(site: &mut Site) -> Result<(), String> {
    let at_once = until(AT_ONCE, async || nothing_is_left(site)).await;
    if at_once.is_ok() {
        return Ok(());
    }
    site.cluster.restart_coordinator().await;
    soon(async || nothing_is_left(site)).await
}

/// No checkpoint, no half upload, and in scratch the living workers' empty
/// folders alone.
fn nothing_is_left(site: &Site) -> Result<(), String> {
    let artifacts = site.cluster.artifacts();
    let mut left = half_made(&artifacts);
    let mut n_workers = 0;
    for path in entries(&site.scratch()) {
        if path.ends_with("tokens") || path.is_file() {
            continue;
        }
        n_workers += 1;
        left.extend(entries(&path));
        if n_workers > site.cluster.workers.len() {
            left.push(path);
        }
    }
    is_true(left.is_empty(), || format!("left behind: {left:?}"))
}

/// Checkpoints and half uploads below the artifacts.
pub(super) fn half_made(artifacts: &Path) -> Vec<PathBuf> {
    let mut left = entries(&artifacts.join("checkpoints"));
    left.extend(entries(&artifacts.join("staging")));
    left
}

async fn keep(site: &Site, latest: &str) -> Result<(), String> {
    let call = pb::SetLabelRequest {
        label: "kept".to_owned(),
        model_version: latest.to_owned(),
    };
    let mut models = site.cluster.models();
    let answer = models.set_label(within(CALL_TIME, call)).await;
    let answer = answer.map_err(|status| format!("label: {status}"));
    answer.map(drop)
}

pub(super) fn is_true(
    holds: bool,
    otherwise: impl FnOnce() -> String,
) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Looks again and again until a promise holds; its last complaint is what is
/// broken.
pub(super) async fn soon<T>(
    check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    until(SOON, check).await
}

pub(super) async fn until<T>(
    time: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Instant::now() + time;
    let mut looks = interval(Duration::from_millis(50));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let found = check().await;
        if found.is_ok() || Instant::now() > end {
            return found;
        }
    }
}
