//! Next week's export: a job that starts from the live version, and both
//! versions side by side.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

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

/// `train submit --data` without running services.
fn alone(newcomer: &Newcomer, data: &Path) -> Command {
    let mut submit = vec!["--json", "train", "submit", "--data"];
    submit.push(data.to_str().unwrap());
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    let mut command = newcomer.command(&submit);
    // Only where the usual place has no coordinator does it start its own.
    command.env_remove("CLLM4REC__COORDINATOR__URL");
    command.env_remove("CLLM4REC__SCORER__URL");
    command.env("COORDINATOR__LEASE_TERM_S", "1");
    command
}

/// Starts the command and kills it once its job is in the queue.
fn kill_half_way(mut command: Command) {
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let lines = BufReader::new(running.stdout.take().unwrap());
    let mut lines = lines.lines();
    while !first.contains("\"event\"") {
        first = lines.next().expect("an event of the job").unwrap();
    }
    running.kill().unwrap();
    running.wait().unwrap();
}

/// Runs the command to its end; what it said beside its answer.
fn to_its_end(mut command: Command) -> String {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    said
}

#[tokio::test]
async fn a_killed_command_goes_on_and_an_older_export_does_not_come_back() {
    let usual = std::net::TcpStream::connect("127.0.0.1:7071");
    assert!(
        usual.is_err(),
        "stop the coordinator at 127.0.0.1:7071 first"
    );
    let newcomer = Newcomer::new();
    let orders = newcomer.folder().join("orders.csv");
    write_orders(&orders, 6);
    kill_half_way(alone(&newcomer, &orders));
    let said = to_its_end(alone(&newcomer, &orders));
    assert!(said.contains("is the same job and has not ended"), "{said}");

    write_orders(&orders, 8);
    kill_half_way(alone(&newcomer, &orders));
    write_orders(&orders, 4);
    let said = to_its_end(alone(&newcomer, &orders));
    assert!(said.contains("is cancelled: this one takes its"), "{said}");
    assert!(
        said.contains("lacks 240 of its 480 interactions"),
        "a warning before histories lose orders: {said}"
    );

    let _up = newcomer.up().await;
    let models = newcomer.json_lines(&["models", "list"]);
    assert_eq!(models.len(), 2, "the first and the last: {models:?}");
    let named = newcomer.json(&["dataset", "show", "orders.csv"]);
    let live = newcomer.json(&["models", "show", "live"]);
    let latest = named["dataset"].as_str().unwrap();
    assert_eq!(live["dataset"], format!("datasets/{latest}"));
}
