//! What an earlier version of the program stored is read by this one, with the same answers
//! (`tests/kept/README.md`).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Newcomer;
use serde_json::Value;

fn kept(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kept")
        .join(file)
}

/// A newcomer in whose folder an earlier version has worked.
fn heir() -> Newcomer {
    let newcomer = Newcomer::new();
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(kept("data-0.1.0.tar.gz"))
        .current_dir(newcomer.folder())
        .status();
    assert!(unpacked.unwrap().success());
    newcomer
}

fn expected_answers() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(kept("answers.json")).unwrap())
        .unwrap()
}

fn assert_same_items(found: &Value, expected: &Value) {
    let (found, expected) =
        (found.as_array().unwrap(), expected.as_array().unwrap());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for field in ["item_id", "source", "title"] {
            assert_eq!(found[field], expected[field]);
        }
        let (score, was) =
            (found["score"].as_f64(), expected["score"].as_f64());
        let difference = (score.unwrap() - was.unwrap()).abs();
        assert!(difference <= 1e-4 * was.unwrap().abs().max(1.0), "{found}");
    }
}

#[tokio::test]
async fn a_folder_of_version_0_1_0_gives_the_answers_that_it_gave_then() {
    let newcomer = heir();
    let mut up = newcomer.up().await;
    for expected in expected_answers() {
        let mut arguments =
            vec!["recommend", expected["user"].as_str().unwrap(), "-k", "5"];
        let more = expected["arguments"].as_array().unwrap();
        arguments
            .extend(more.iter().map(|argument| argument.as_str().unwrap()));
        let found = newcomer.json(&arguments);
        for field in ["model_version", "history_length"] {
            assert_eq!(found[field], expected[field], "{arguments:?}");
        }
        assert_same_items(&found["items"], &expected["items"]);
    }
    assert!(up.terminate().await);
}

#[tokio::test]
async fn jobs_models_data_sets_and_histories_of_version_0_1_0_are_listed() {
    let newcomer = heir();
    let mut up = newcomer.up().await;
    let jobs = newcomer.json_lines(&["train", "list"]);
    let succeeded = jobs.iter().filter(|job| job["state"] == "SUCCEEDED");
    assert_eq!(jobs.len(), 3);
    assert!(succeeded.count() >= 2, "the third was running");
    let models = newcomer.json_lines(&["models", "list"]);
    let labels: Vec<&Value> =
        models.iter().map(|model| &model["labels"]).collect();
    assert!(labels.contains(&&serde_json::json!(["live"])), "{labels:?}");
    assert_eq!(models[0]["metrics"]["knn_recall@20"], 1.0);
    let dataset = newcomer.json(&["dataset", "list"]);
    assert_eq!(dataset["dataset"], "d0198ee646a6eecb77bb789f78df1787");
    let history = newcomer.json(&["history", "show", "newcomer"]);
    assert_eq!(history["interactions"][0]["item_id"], "i2");
    // It goes on: what was recorded then and what is recorded now are one history.
    newcomer.json(&["history", "record", "newcomer", "i4"]);
    let history = newcomer.json(&["history", "show", "newcomer"]);
    assert_eq!(history["interactions"].as_array().unwrap().len(), 2);
    assert!(up.terminate().await);
}
