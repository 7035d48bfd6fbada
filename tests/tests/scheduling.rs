//! When and where jobs run, through the real coordinator, a Redis and the command
//! line.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use e2e::{Cluster, FakeWorker, Options, TINY_JOB, bad_fields};
use proto::pb;
use proto::pb::job::State;
use serde_json::Value;
use tonic::Code;

const QUEUES: [(&str, &str); 4] = [
    ("COORDINATOR__QUEUES__NIGHTLY__WEIGHT", "3"),
    ("COORDINATOR__QUEUES__ADHOC__WEIGHT", "1"),
    ("COORDINATOR__QUEUES__ONE__MAX_RUNNING", "1"),
    ("COORDINATOR__QUEUES__ONE__MAX_QUEUED", "2"),
];

async fn cluster() -> Cluster {
    Cluster::start_with(Options::settings(&QUEUES).without_worker()).await
}

fn name(job: &Value) -> String {
    job["name"].as_str().unwrap().to_owned()
}

async fn lease(worker: &mut FakeWorker) -> Option<pb::LeasedJob> {
    worker.lease(1_500).await.unwrap()
}

#[tokio::test]
async fn priorities_and_chains_are_kept_from_the_command_line() {
    let cluster = cluster().await;
    let dataset = cluster.import_two_groups();
    let submit = |options: &[&str]| {
        let job = cluster.submit_with(options, &dataset, &[]);
        (name(&job), job)
    };
    let (first, _) = submit(&[]);
    let (urgent, job) = submit(&["--priority", "9"]);
    assert_eq!(job["schedule"]["priority"], 9);
    let (last, job) = submit(&["--after", &first, "--priority", "100"]);
    assert_eq!(job["awaits"], serde_json::json!([first]));

    let mut worker = FakeWorker::new("w", cluster.worker_service());
    let leased = lease(&mut worker).await.unwrap();
    assert_eq!(leased.job, urgent);
    let leased = lease(&mut worker).await.unwrap();
    assert_eq!(leased.job, first);
    worker.fail(&leased).await.unwrap();
    let ended = cluster.ended(&last).await;
    assert_eq!(ended.state(), State::Failed);
    let cause = ended.cause.unwrap();
    assert_eq!(cause.kind(), pb::cause::Kind::DependencyFailed);
    assert!(cause.message.contains(&first), "{}", cause.message);

    let output = cluster.cli(&[
        "train",
        "submit",
        "--dataset",
        &dataset,
        "--after",
        &first,
    ]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("has failed"), "{err}");
    let (later, job) = submit(&["--start-after", "2h", "--deadline", "3h"]);
    let schedule = &job["schedule"];
    let start = schedule["start_after_ms"].as_i64().unwrap();
    let deadline = schedule["deadline_ms"].as_i64().unwrap();
    assert_eq!(deadline - start, 3_600_000);
    assert!(lease(&mut worker).await.is_none(), "{later} waits");
}

#[tokio::test]
async fn queues_share_workers_and_keep_to_their_limits() {
    let cluster = cluster().await;
    let dataset = cluster.import_two_groups();
    let request = |queue: &str| pb::TrainJobRequest {
        spec: Some(pb::TrainSpec {
            dataset: dataset.clone(),
            ..Default::default()
        }),
        schedule: Some(pb::Schedule {
            queue: queue.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut client = cluster.training();
    for queue in ["nightly", "adhoc"] {
        for _ in 0..20 {
            client.train_job(request(queue)).await.unwrap();
        }
    }
    for _ in 0..2 {
        client.train_job(request("one")).await.unwrap();
    }
    let full = client.train_job(request("one")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.message().contains("max_queued"), "{full}");
    let unknown = client.train_job(request("nope")).await.unwrap_err();
    assert_eq!(bad_fields(&unknown), ["schedule.queue"]);

    let mut by_queue: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..17 {
        let name = format!("w{number}");
        let mut worker = FakeWorker::new(name, cluster.worker_service());
        let leased = lease(&mut worker).await.unwrap();
        let request = pb::GetJobRequest { name: leased.job };
        let job = client.get_job(request).await.unwrap().into_inner();
        let queue = job.schedule.unwrap().queue;
        *by_queue.entry(queue).or_default() += 1;
    }
    assert_eq!(by_queue["one"], 1, "{by_queue:?}");
    assert_eq!(by_queue["nightly"], 12, "{by_queue:?}");
    assert_eq!(by_queue["adhoc"], 4, "{by_queue:?}");
}

#[tokio::test]
async fn a_worker_says_what_it_has_and_gets_what_fits() {
    let settings = [("WORKER__LABELS", "gpu"), ("WORKER__MEMORY_GIB", "24")];
    let cluster = Cluster::start_with(Options::settings(&settings)).await;
    let dataset = cluster.import_two_groups();
    let check = |options: &[&str]| {
        let checking = ["--validate-only"];
        let options = [&checking, options].concat();
        cluster.submit_with(&options, &dataset, &[])["notes"].to_string()
    };
    let fits = ["--need-label", "gpu", "--need-memory-gib", "24"];
    let job = cluster.submit_with(&fits, &dataset, &[]);
    let ended = cluster.ended(&name(&job)).await;
    assert_eq!(ended.state(), State::Succeeded);
    let notes = check(&fits);
    assert!(notes.contains("1 of 1 workers can take it"), "{notes}");
    let notes = check(&["--need-label", "tpu"]);
    assert!(notes.contains("nobody has the label `tpu`"), "{notes}");
}

#[tokio::test]
async fn a_sweep_tries_every_combination_and_labels_the_best() {
    let settings = [
        ("COORDINATOR__QUEUES__SWEEPS__MAX_QUEUED", "2"),
        ("COORDINATOR__QUEUES__SWEEPS__WEIGHT", "1"),
    ];
    let cluster = Cluster::start_with(Options::settings(&settings)).await;
    let dataset = cluster.import_two_groups();
    let mut arguments = vec!["--json", "train", "tune"];
    arguments.extend(["--dataset", &dataset, "--label", "live"]);
    arguments.extend(["--queue", "sweeps", "--request-id", "sweep"]);
    for field in TINY_JOB {
        arguments.extend(["--set", field]);
    }
    arguments.extend(["--set", "finetuning.learning_rate=1e-5,1e-2"]);
    arguments.extend(["--set", "seed=1,2"]);
    let tune = || -> Value {
        let output = cluster.cli(&arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let found = tune();
    let trials = found["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 4);
    let mut fields = Vec::new();
    let mut values = Vec::new();
    for trial in trials {
        assert_eq!(trial["fields"].as_object().unwrap().len(), 2);
        fields.push(trial["fields"].to_string());
        values.push(trial["value"].as_f64().unwrap());
    }
    assert!(values.is_sorted_by(|one, other| one >= other), "{values:?}");
    fields.sort();
    fields.dedup();
    assert_eq!(fields.len(), 4, "each is another combination");
    let best = found["best_model_version"].as_str().unwrap();
    assert_eq!(trials[0]["job"]["model_version"], best);
    for version in cluster.versions().await {
        let is_live = version.labels.contains(&"live".to_owned());
        assert_eq!(is_live, version.name == best, "{version:?}");
    }

    // The same request gives the same jobs.
    assert_eq!(tune()["best_job"], found["best_job"]);
    let wrong = ["train", "tune", "--dataset", &dataset];
    let wrong = [&wrong[..], &["--set", "finetuning.bacth=1,2"]].concat();
    let output = cluster.cli(&wrong);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("finetuning.bacth"), "{err}");
}

#[tokio::test]
async fn a_thousand_jobs_in_a_hundred_lanes_are_leased_at_once() {
    let cluster = cluster().await;
    let dataset = cluster.import_two_groups();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20_u32 {
        let mut training = cluster.training();
        let dataset = dataset.clone();
        clients.spawn(async move {
            for number in 0..50_u32 {
                let needs = pb::Needs {
                    labels: vec![format!("l{}", number % 50)],
                    memory_gib: 0,
                };
                let queue = ["nightly", "adhoc"][client as usize % 2];
                let schedule = pb::Schedule {
                    queue: queue.to_owned(),
                    needs: (number > 0).then_some(needs),
                    ..Default::default()
                };
                let request = pb::TrainJobRequest {
                    spec: Some(pb::TrainSpec {
                        dataset: dataset.clone(),
                        ..Default::default()
                    }),
                    schedule: Some(schedule),
                    ..Default::default()
                };
                training.train_job(request).await.unwrap();
            }
        });
    }
    clients.join_all().await;
    let started = std::time::Instant::now();
    for number in 0..20 {
        let name = format!("w{number}");
        let mut worker = FakeWorker::new(name, cluster.worker_service());
        assert!(lease(&mut worker).await.is_some(), "{number}");
    }
    let took = started.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_job_that_no_worker_can_take_says_so_and_one_that_waits_does_not() {
    let cluster = cluster().await;
    let dataset = cluster.import_two_groups();
    let shown = |job: &Value| {
        let job = cluster.cli_json(&["train", "show", &name(job)]);
        job["no_taker"].as_str().unwrap().to_owned()
    };
    let plain = cluster.submit_with(&[], &dataset, &[]);
    let why = shown(&plain);
    assert!(why.contains("no worker has asked for work yet"), "{why}");
    let output = cluster.cli(&["train", "show", &name(&plain)]);
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(page.contains(&why), "{page}");

    let mut worker = FakeWorker::new("w", cluster.worker_service());
    lease(&mut worker).await.unwrap();
    let next = cluster.submit_with(&[], &dataset, &[]);
    assert_eq!(shown(&next), "", "it waits for its turn");
    let gpu = cluster.submit_with(&["--need-label", "gpu"], &dataset, &[]);
    let why = shown(&gpu);
    assert!(why.contains("nobody has the label `gpu`"), "{why}");
    let after = ["--need-label", "gpu", "--after", &name(&next)];
    let after = cluster.submit_with(&after, &dataset, &[]);
    assert_eq!(shown(&after), "", "it waits for another job");
}
