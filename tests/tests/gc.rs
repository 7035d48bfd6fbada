//! Removing what nothing needs, through the real coordinator and the command
//! line.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use e2e::{Cluster, Options, entries, request, write_two_groups};
use proto::pb;
use serde_json::Value;
use tonic::Code;

const HUNDRED_DAYS: Duration = Duration::from_secs(100 * 24 * 60 * 60);

/// Says of every job and version that it was written in June 2025.
const MAKE_RECORDS_OLD: &str = r#"
for _, space in ipairs({'{cllm4rec}:jobs', '{cllm4rec}:model-versions'}) do
  local found = redis.call('HGETALL', space)
  for at = 1, #found, 2 do
    local old = string.gsub(found[at + 1], '_ms":1[78]%d+', '_ms":1750000000000')
    redis.call('HSET', space, found[at], old)
  end
end
"#;

/// Makes everything that is stored a hundred days older.
fn make_old(cluster: &Cluster) {
    cluster.store.command(&["EVAL", MAKE_RECORDS_OLD, "0"]);
    for kind in ["datasets", "models", "backbones"] {
        for artifact in entries(&cluster.artifacts().join(kind)) {
            make_file_old(&artifact.join("index.json"));
        }
    }
}

fn make_file_old(path: &Path) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - HUNDRED_DAYS).unwrap();
}

/// Runs `gc`; returns the names that it prints, and its summary.
fn gc(cluster: &Cluster, options: &[&str]) -> (Vec<String>, Value) {
    let output = cluster.cli(&[&["--json", "gc"], options].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    let mut names = Vec::new();
    let mut summary = Value::Null;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        match value["name"].as_str() {
            Some(name) => names.push(name.to_owned()),
            None => summary = value,
        }
    }
    names.sort_unstable();
    (names, summary)
}

/// What would go while nobody knows what one of the jobs needs.
fn gc_beside_a_damaged_job(cluster: &Cluster) -> Vec<String> {
    let store = &cluster.store;
    store.command(&["HSET", "{cllm4rec}:jobs", "job-x", "{"]);
    let (shown, _) = gc(cluster, &["--dry-run"]);
    store.command(&["HDEL", "{cllm4rec}:jobs", "job-x"]);
    shown
}

#[tokio::test]
async fn gc_removes_what_it_showed_and_nothing_that_is_live() {
    let settings = [
        ("COORDINATOR__KEEP__JOBS", "0"),
        ("COORDINATOR__KEEP__VERSIONS", "0"),
    ];
    let cluster = Cluster::start_with(Options::settings(&settings)).await;
    let dataset = cluster.import_two_groups();
    let old = cluster.train(&dataset, &["seed=1"]).await;
    let live = cluster.train(&dataset, &["seed=2"]).await;
    let other = cluster.folder().join("other");
    write_two_groups(&other);
    let csv = other.join("interactions.csv");
    let rows = std::fs::read_to_string(&csv).unwrap();
    std::fs::write(&csv, format!("{rows}u0,i19,99,train\n")).unwrap();
    let unused = cluster.import(&other);
    assert_ne!(unused, dataset);

    let (young, _) = gc(&cluster, &["--dry-run"]);
    assert_eq!(young, Vec::<String>::new());
    make_old(&cluster);
    let (shown, summary) = gc(&cluster, &["--dry-run"]);
    for name in [&old.name, &old.model_version, &unused] {
        assert!(shown.contains(name), "{name} of {shown:?}");
    }
    for name in [&live.name, &live.model_version, &dataset] {
        assert!(!shown.contains(name), "{name} of {shown:?}");
    }
    assert_eq!(summary["dry_run"], true);
    assert!(summary["n_bytes"].as_u64().unwrap() > 1_000);
    assert_eq!(cluster.versions().await.len(), 2, "only shown");

    // It may start from any version.
    let in_doubt = gc_beside_a_damaged_job(&cluster);
    assert!(!in_doubt.contains(&old.model_version), "{in_doubt:?}");

    let (removed, summary) = gc(&cluster, &[]);
    assert_eq!(removed, shown);
    assert_eq!(summary["n_garbage"].as_u64(), Some(removed.len() as u64));
    let (again, _) = gc(&cluster, &[]);
    assert_eq!(again, Vec::<String>::new());

    let versions = cluster.versions().await;
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].name, live.model_version);
    let request_for = |name: &str| pb::GetJobRequest {
        name: name.to_owned(),
    };
    let gone = cluster.training().get_job(request_for(&old.name)).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let kept = cluster.training().get_job(request_for(&live.name)).await;
    assert_eq!(kept.unwrap().into_inner().state(), live.state());
    let id = old.name.trim_start_matches("jobs/");
    let left = cluster.store.command(&["KEYS", &format!("*{id}*")]);
    assert_eq!(left.trim(), "");

    let (_scorer, port) = cluster.start_scorer(&[]).await;
    let answer = cluster.recommend_at(port, request("u0", 1)).await;
    assert_eq!(answer.model_version, live.model_version);
    let mut for_old = request("u0", 1);
    for_old.model = Some(pb::recommend_request::Model::ModelVersion(
        old.model_version.clone(),
    ));
    let refused = cluster.recommendations_at(port).recommend(for_old).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);

    // What was removed may be made again.
    assert_eq!(cluster.import(&other), unused);
    let again = cluster.train(&dataset, &["seed=1"]).await;
    assert_eq!(again.model_version, old.model_version);
}

#[tokio::test]
async fn damage_and_a_store_that_came_back_empty_remove_nothing() {
    let settings = [("COORDINATOR__KEEP__JOBS", "0")];
    let options = Options::settings(&settings).without_worker();
    let cluster = Cluster::start_with(options).await;
    let unused = cluster.import_two_groups();
    make_old(&cluster);
    let (shown, _) = gc(&cluster, &["--dry-run"]);
    assert_eq!(shown, [unused.as_str()]);

    // Nobody knows what a damaged job needs.
    let store = &cluster.store;
    store.command(&["HSET", "{cllm4rec}:jobs", "job-x", "{"]);
    let output = cluster.cli(&["gc"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("jobs/job-x cannot be read"), "{err}");
    store.command(&["HDEL", "{cllm4rec}:jobs", "job-x"]);
    assert_eq!(gc(&cluster, &["--dry-run"]).0, [unused.as_str()]);

    store.command(&["FLUSHALL"]);
    let output = cluster.cli(&["gc"]);
    assert!(!output.status.success());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("nothing is removed"), "{err}");
    assert!(err.contains("stores"), "{err}");
    assert_eq!(entries(&cluster.artifacts().join("datasets")).len(), 1);
}
