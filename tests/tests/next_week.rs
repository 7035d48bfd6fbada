//! Next week's export: a job that starts from the live version, and both
//! versions side by side.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::path::Path;

use e2e::{Newcomer, TINY_JOB};
use serde_json::Value;

/// Orders of two groups of users with items of their own, without a split: so
/// many a user.
fn write_orders(path: &Path, n_orders: usize) {
    let mut rows = "customer,product,ordered\n".to_owned();
    for user in 0..60 {
        for place in 0..n_orders {
            let item = (user % 2) * 20 + (user / 2 + place) % 20;
            writeln!(rows, "c{user},p{item:02},{}", 1_700_000_000 + place)
                .unwrap();
        }
    }
    std::fs::write(path, rows).unwrap();
}

/// Imports and trains; the answer of the finished job.
fn submit(newcomer: &Newcomer, data: &Path, options: &[&str]) -> Value {
    let mut submit = vec!["train", "submit", "--data", data.to_str().unwrap()];
    submit.extend(options);
    for field in TINY_JOB {
        // A job that starts from a version has the version's backbone.
        let is_of_backbone = field.starts_with("backbone");
        if !(is_of_backbone && options.contains(&"--from")) {
            submit.extend(["--set", field]);
        }
    }
    newcomer.json_lines(&submit).pop().unwrap()
}

#[tokio::test]
async fn next_weeks_job_starts_from_the_live_version_and_both_are_compared() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let orders = newcomer.folder().join("orders.csv");
    write_orders(&orders, 12);
    let first = submit(&newcomer, &orders, &["--label", "live"]);
    assert_eq!(first["state"], "SUCCEEDED");

    write_orders(&orders, 14);
    let options = ["--from", "live", "--label", "candidate"];
    let second = submit(&newcomer, &orders, &options);
    assert_eq!(second["state"], "SUCCEEDED");
    let other = ["--from", "live", "--catalog", "other", "--data"];
    let orders = orders.to_str().unwrap();
    let refused =
        newcomer.run(&[&["train", "submit"], &other[..], &[orders]].concat());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("ranks the catalog `default`"), "{why}");

    let metrics = &second["metrics"];
    assert!(metrics["ndcg@100"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(
        metrics.get("learned_before").is_none(),
        "what was held out last week is held out this week: {metrics}"
    );

    let models = newcomer.json_lines(&["models", "list"]);
    assert_eq!(models.len(), 2);
    for model in &models {
        assert_eq!(model["dataset_name"], "orders.csv");
        assert!(model["train_seconds"].as_f64().unwrap() > 0.0, "{model}");
    }

    let compared = newcomer.json(&["models", "compare", "live", "candidate"]);
    assert_eq!(compared["n_learned_left_out"], 0);
    assert_eq!(compared["n_users"], 60);
    let newer = &compared["versions"][1];
    let measured = newer["measured"]["ndcg@100"].as_f64().unwrap();
    let published = newer["model"]["metrics"]["ndcg@100"].as_f64().unwrap();
    assert!(
        (measured - published).abs() < 1e-9,
        "its own split: {newer}"
    );
    let started = &compared["differing"]["start_from"];
    assert_eq!(started[0], "-");
    assert_eq!(
        started[1].as_str().unwrap().trim_matches('"'),
        compared["versions"][0]["model"]["name"]
            .as_str()
            .unwrap()
            .trim_start_matches("modelVersions/")
    );
    let page = newcomer.run(&["models", "compare", "live", "candidate"]);
    let page = String::from_utf8_lossy(&page.stdout);
    assert!(
        page.contains("which none of them has learned from"),
        "{page}"
    );
}

#[tokio::test]
async fn a_start_that_cannot_be_is_refused_before_the_import() {
    let newcomer = Newcomer::new();
    let _up = newcomer.up().await;
    let orders = newcomer.folder().join("orders.csv");
    write_orders(&orders, 6);
    let orders = orders.to_str().unwrap();
    let submit = ["train", "submit", "--data", orders, "--from", "live"];
    let refused = newcomer.run(&submit);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("--from live: `cllm4rec models list`"), "{why}");
    assert!(newcomer.json_lines(&["dataset", "list"]).is_empty());
}
