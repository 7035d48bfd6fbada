//! What a job needs is damaged, half-made or away for a while: it is mended or
//! waited for, costs no attempt, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{
    CHECKPOINTED_JOB, Cluster, Options, entries, eventually, flip_a_bit,
    largest_file,
};
use proto::pb;
use proto::pb::cause::Kind;
use proto::pb::job::State;

const A_WHILE: Duration = Duration::from_secs(60);

/// The only artifact of a kind.
fn only(cluster: &Cluster, kind: &str) -> PathBuf {
    let mut found = entries(&cluster.artifacts().join(kind));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Leaves an artifact as a program did that wrote files in place and was
/// killed: one file whole, one half under another name, and no index.
fn leave_half_written(artifact: &Path) {
    let largest = largest_file(artifact);
    let half = PathBuf::from(format!("{}#1", largest.display()));
    let bytes = std::fs::read(&largest).unwrap();
    std::fs::write(half, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(largest).unwrap();
    std::fs::remove_file(artifact.join("index.json")).unwrap();
}

/// All files of an artifact that its index names, and the index.
fn files(artifact: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in entries(artifact) {
        if !path.to_string_lossy().contains('#') {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files
}

#[tokio::test]
async fn what_was_half_written_or_damaged_is_whole_after_the_next_job() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let first = cluster.train(&dataset, &[]).await;
    let (model, backbone) =
        (only(&cluster, "models"), only(&cluster, "backbones"));
    let whole = [files(&model), files(&backbone)];
    let damage: [fn(&Path); 3] = [
        leave_half_written,
        |artifact| flip_a_bit(&largest_file(artifact)),
        |artifact| std::fs::write(artifact.join("index.json"), "{").unwrap(),
    ];
    for damage in damage {
        damage(&model);
        damage(&backbone);
        let job = cluster.train(&dataset, &[]).await;
        assert_eq!((job.attempts, &job.cause), (1, &None));
        assert_eq!(job.model_version, first.model_version);
        assert!([files(&model), files(&backbone)] == whole);
    }
    // A scorer that starts now verifies every byte.
    let (_scorer, port) = cluster.start_scorer(&[]).await;
    let answer = cluster.recommend_at(port, e2e::request("u0", 5)).await;
    assert_eq!(answer.model_version, first.model_version);
}

#[tokio::test]
async fn a_damaged_data_set_is_whole_after_it_is_imported_again() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let stored = only(&cluster, "datasets");
    flip_a_bit(&largest_file(&stored));
    let job = cluster.ended(&cluster.submit(&dataset, &[])).await;
    let cause = job.cause.clone().unwrap();
    assert_eq!((job.state(), cause.kind()), (State::Failed, Kind::BadData));
    assert!(cause.message.contains("importing it again"), "{cause:?}");
    assert_eq!(cluster.import_two_groups(), dataset);
    cluster.cli_json(&["train", "retry", &job.name]);
    let job = cluster.ended(&job.name).await;
    assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);

    leave_half_written(&stored);
    let id = dataset.trim_start_matches("datasets/");
    cluster.cli_json(&["dataset", "delete", id]);
    assert!(!stored.exists());
    assert_eq!(cluster.import_two_groups(), dataset);
    cluster.train(&dataset, &[]).await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_for_seconds_costs_no_attempt() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    // Nobody can make a folder in a file, not even root.
    let staging = cluster.artifacts().join("staging");
    std::fs::remove_dir(&staging).unwrap();
    std::fs::write(&staging, "").unwrap();
    let name = cluster.submit(&dataset, &[]);
    // The model is written on the worker's disk: it is stored from then on.
    let is_written = |job: &pb::Job| {
        let progress = job.progress.as_ref();
        progress.is_some_and(|now| now.parts.contains_key("saving"))
    };
    cluster.job_when(&name, A_WHILE, is_written).await;
    std::fs::remove_file(&staging).unwrap();
    let job = cluster.ended(&name).await;
    assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
    assert_eq!((job.attempts, job.cause), (1, None));
}

#[tokio::test]
async fn a_job_whose_artifacts_are_away_says_so_and_goes_on_when_they_are_back()
{
    let folder = tempfile::tempdir().unwrap();
    // The worker starts before its volume is mounted.
    let mount = folder.path().join("artifacts");
    let artifacts = mount.display().to_string();
    let settings = [("WORKER__STORAGE__ARTIFACTS", &*artifacts)];
    let cluster = Cluster::start_with(Options::settings(&settings)).await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &[]);
    let job = cluster
        .job_when(&name, A_WHILE, |job| job.outage.is_some())
        .await;
    std::fs::remove_dir_all(&mount).unwrap();
    std::os::unix::fs::symlink(cluster.artifacts(), &mount).unwrap();
    assert_eq!(job.cause.unwrap().kind(), Kind::Unavailable);
    let outage = job.outage.unwrap();
    let since = outage.since.unwrap().seconds;
    assert!(outage.next_try.unwrap().seconds >= since);
    assert_eq!(outage.until.unwrap().seconds - since, 3_600);

    let job = cluster.ended(&name).await;
    assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
    assert_eq!((job.cause, job.outage), (None, None));
}

#[tokio::test]
async fn a_cancelled_job_keeps_its_checkpoint_and_goes_on_from_it() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &CHECKPOINTED_JOB);
    cluster.wait_for_event(&name, "checkpoint saved").await;
    let request = pb::CancelJobRequest { name: name.clone() };
    cluster.training().cancel_job(request).await.unwrap();
    let cancelled = cluster.ended(&name).await;
    assert_eq!(cancelled.state(), State::Cancelled);
    only(&cluster, "checkpoints");

    cluster.cli_json(&["train", "retry", &name]);
    let job = cluster
        .job_when(&name, A_WHILE * 2, |job| job.state() == State::Succeeded)
        .await;
    assert_eq!(job.attempts, 2);
    let events = cluster.events(&name).await;
    let again = events
        .iter()
        .filter(|event| event.number > cancelled.n_events);
    let messages: Vec<&str> =
        again.map(|event| event.message.as_str()).collect();
    assert!(
        !messages
            .iter()
            // The final fit has an epoch 1 of its own.
            .any(|said| said.starts_with("finetuning epoch 1 of")),
        "{messages:?}"
    );
    assert!(entries(&cluster.artifacts().join("checkpoints")).is_empty());
}

#[tokio::test]
async fn nothing_is_left_of_attempts_whose_workers_were_killed() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &CHECKPOINTED_JOB);
    cluster.wait_for_event(&name, "checkpoint saved").await;
    cluster.workers[0].kill();
    // What an upload leaves that is killed.
    let id = name.trim_start_matches("jobs/");
    let upload = cluster.artifacts().join(format!("staging/{id}.1.half"));
    std::fs::create_dir_all(&upload).unwrap();
    std::fs::write(upload.join("state.json"), "{").unwrap();
    cluster.workers[0] = cluster.start_process("worker");
    let job = cluster.ended(&name).await;
    assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
    let left = async || {
        let mut left = entries(&cluster.artifacts().join("checkpoints"));
        left.extend(entries(&cluster.artifacts().join("staging")));
        left.is_empty().then_some(())
    };
    eventually("artifacts are tidy", A_WHILE, left).await;
    let scratch = cluster.token_files().parent().unwrap().to_owned();
    eventually("scratch is tidy", A_WHILE, async || {
        let mut left = entries(&scratch);
        left.retain(|path| path.is_dir() && !path.ends_with("tokens"));
        // The living worker's own, with nothing in it.
        let [own] = &*left else { return None };
        entries(own).is_empty().then_some(())
    })
    .await;
}
