//! The commands that do a whole walk each, from data to a report, as processes
//! with an exit code.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use e2e::{Newcomer, TINY_JOB, entries, write_two_groups};
use serde_json::Value;

/// Writes the two groups into a newcomer's folder; returns where they are.
fn two_groups(newcomer: &Newcomer) -> PathBuf {
    let data = newcomer.folder().join("mine");
    write_two_groups(&data);
    data
}

/// A command on a data set for a tiny job, the given fields over it.
fn tiny<'a>(
    command: &[&'a str],
    data: &'a Path,
    fields: &[&'a str],
) -> Vec<&'a str> {
    let mut arguments = command.to_vec();
    arguments.extend(["--data", data.to_str().unwrap()]);
    for field in TINY_JOB.iter().chain(fields) {
        arguments.extend(["--set", field]);
    }
    arguments
}

const NO_BACKBONE: &str = "backbone={path=\"none\"}";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn submit_with_data_imports_trains_and_writes_a_report() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let data = two_groups(&newcomer);
    let submit = tiny(&["train", "submit", "--label", "live"], &data, &[]);
    let lines = newcomer.json_lines(&submit);
    let job = lines.last().unwrap();
    assert_eq!(job["state"], "SUCCEEDED", "{job}");
    let followed = &lines[..lines.len() - 1];
    assert!(
        !followed.is_empty()
            && followed.iter().all(|line| line["event"].is_string()),
        "{followed:?}"
    );
    let metric = |name: &str| job["metrics"][name].as_f64().unwrap();
    assert!(metric("recall@20") > 0.0 && metric("popularity_recall@20") >= 0.0);

    let report = newcomer.folder().join("report.html");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.starts_with("<!doctype html>") && report.ends_with("</html>\n")
    );
    for part in ["name", "model_version"] {
        let part = job[part].as_str().unwrap();
        assert!(report.contains(part), "{part} in {report}");
    }
    let ndcg = format!("{:.4}", metric("ndcg@100"));
    let parts = [
        "mine",
        "Test split",
        "popularity",
        "EASE",
        "<svg",
        &ndcg,
        "<h2>Data</h2>",
        "<h2>Settings</h2>",
        "<h2>Time</h2>",
        "Is recommended:",
    ];
    for part in parts {
        assert!(report.contains(part), "{part} in {report}");
    }

    // The histories are seeded and the label is moved: what was trained is
    // served at once.
    let answer = newcomer.json(&["recommend", "u1", "-k", "3"]);
    assert_eq!(answer["model_version"], job["model_version"]);
    assert_eq!(answer["history_length"], 8, "all that they did");
}

#[tokio::test]
async fn a_report_goes_where_it_is_wanted_and_says_in_words_what_to_do() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let data = two_groups(&newcomer);
    let submit = ["train", "submit", "--report", "elsewhere.html"];
    let output = newcomer.run(&tiny(&submit, &data, &[]));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.contains("written to elsewhere.html"), "{out}");
    assert!(out.contains("60 users only"), "{out}");
    assert!(err.contains("published"), "the job is followed: {err}");
    assert!(newcomer.folder().join("elsewhere.html").is_file());
    assert!(!newcomer.folder().join("report.html").exists());
}

#[tokio::test]
async fn submit_with_data_that_comes_to_nothing_says_so_by_its_code_and_writes_no_report()
 {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let data = two_groups(&newcomer);
    let submit = ["train", "submit"];
    let missing = newcomer.folder().join("missing.csv");
    assert_eq!(newcomer.code(&tiny(&submit, &missing, &[])), Some(1));
    let wrong = newcomer.run(&tiny(&submit, &data, &["finetuning.batch=0"]));
    assert_eq!(wrong.status.code(), Some(1));
    let error = text(&wrong.stderr);
    assert!(error.contains("finetuning.batch"), "{error}");
    let imported = newcomer.run(&["dataset", "list"]).stdout;
    assert!(imported.is_empty(), "fields are checked before an import");

    let no_model = tiny(&submit, &data, &[NO_BACKBONE]);
    assert_eq!(newcomer.code(&no_model), Some(3));
    assert!(!newcomer.folder().join("report.html").exists());
}

#[tokio::test]
async fn submit_with_data_that_is_only_checked_imports_nothing() {
    let newcomer = Newcomer::new();
    let data = two_groups(&newcomer);
    let check = tiny(&["train", "submit", "--validate-only"], &data, &[]);
    let up = newcomer.up().await;
    let said = newcomer.json(&check);
    assert_eq!(said["manifest"]["n_users"], 60);
    let notes = said["job_notes"].to_string();
    assert!(
        notes.contains("60 users") && notes.contains("EASE"),
        "{notes}"
    );
    let out = text(&newcomer.run(&check).stdout);
    assert!(out.contains("not stored  mine: 60 users"), "{out}");
    assert!(newcomer.run(&["dataset", "list"]).stdout.is_empty());
    assert!(newcomer.run(&["train", "list"]).stdout.is_empty());
    assert!(!newcomer.folder().join("report.html").exists());
    drop(up);
}

#[tokio::test]
async fn submit_with_data_starts_nothing_where_a_coordinator_is_configured_and_away()
 {
    let newcomer = Newcomer::new();
    let data = two_groups(&newcomer);
    let output = newcomer.run(&tiny(&["train", "submit"], &data, &[]));
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("Unavailable"), "{error}");
    assert!(!newcomer.folder().join("data").exists());
}

/// The demo's last line has every metric of every ranker, for scripts to read.
fn assert_all_metrics(summary: &Value) {
    for ranker in ["", "llm_", "ease_", "knn_", "popularity_"] {
        for metric in ["recall@20", "recall@40", "ndcg@100"] {
            let value = &summary[format!("{ranker}{metric}")];
            assert!(value.is_f64(), "{ranker}{metric} in {summary}");
        }
    }
}

#[test]
fn the_demo_walks_the_whole_path_and_leaves_nothing() {
    let newcomer = Newcomer::new();
    let data = two_groups(&newcomer);
    let lines = newcomer.json_lines(&tiny(&["demo"], &data, &[]));
    let summary = lines.last().unwrap();
    assert_all_metrics(summary);
    assert!(summary["ndcg@100"].as_f64().unwrap() > 0.0, "{summary}");
    assert!(
        summary["train_seconds"].as_f64().unwrap() > 0.0,
        "{summary}"
    );
    assert!(!summary["dataset"].as_str().unwrap().is_empty());
    let version = summary["model_version"].as_str().unwrap();
    assert!(version.starts_with("modelVersions/"), "{summary}");
    let is_published = |line: &Value| line["job"]["model_version"] == version;
    assert!(lines.iter().any(is_published), "{lines:?}");
    let left = entries(newcomer.folder());
    assert_eq!(left, [data], "without --data-dir nothing is kept");
}

#[test]
fn the_demo_shows_people_what_users_did_and_what_is_recommended() {
    let newcomer = Newcomer::new();
    let data = two_groups(&newcomer);
    let demo = ["demo", "--data-dir", "kept"];
    let output = newcomer.run(&tiny(&demo, &data, &[]));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    for part in [
        "finetuning",
        "first loss",
        "EASE",
        "recommended:",
        "game, part",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert_eq!(out.matches("\nuser u").count(), 3, "three users: {out}");
    let last: Value =
        serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_all_metrics(&last);
    assert!(newcomer.folder().join("kept").join("store.redb").is_file());
}

#[test]
fn a_demo_without_a_model_says_so_by_its_code() {
    let newcomer = Newcomer::new();
    let data = two_groups(&newcomer);
    assert_eq!(
        newcomer.code(&tiny(&["demo"], &data, &[NO_BACKBONE])),
        Some(3)
    );
    let missing = newcomer.folder().join("missing");
    assert_eq!(newcomer.code(&tiny(&["demo"], &missing, &[])), Some(1));
    let wrong = tiny(&["demo"], &data, &["finetuning.batch=0"]);
    assert_eq!(newcomer.code(&wrong), Some(1));
}

#[test]
fn a_machine_that_cannot_compute_is_not_measured() {
    let newcomer = Newcomer::new();
    let mut command = newcomer.command(&["worker", "calibrate"]);
    let output = command.env("WORKER__DEVICE", "abacus").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("abacus"), "{error}");
    assert!(!newcomer.folder().join("data/calibration.json").exists());
}
