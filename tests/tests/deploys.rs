//! A deploy: everything gets SIGTERM at once, and is started again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use e2e::{CHECKPOINTED_JOB, Cluster, Newcomer, write_two_groups};
use proto::pb;
use proto::pb::job::State;

const SOON: Duration = Duration::from_secs(60);

/// Fields of a job that is not done after ten deploys.
fn long_job() -> Vec<&'static str> {
    let mut fields = CHECKPOINTED_JOB.to_vec();
    fields.push("finetuning.epochs=4000");
    fields
}

/// How many epochs of a job are done.
fn n_done(job: &pb::Job) -> usize {
    job.progress.as_ref().map_or(0, |p| p.epochs.len())
}

#[tokio::test]
async fn ten_deploys_in_the_middle_of_a_job_cost_nothing_and_change_nothing() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &long_job());
    let mut n_seen = 0;
    for deploy in 1..=10 {
        // What it did while it was being given back is done, too: it may be
        // further than it was seen, and in the queue.
        let goes_on = |job: &pb::Job| {
            job.state() == State::Running && n_done(job) > n_seen
        };
        let job = cluster.job_when(&name, SOON, goes_on).await;
        n_seen = n_done(&job);
        // The coordinator hears of it first.
        cluster.coordinator.signal("TERM");
        cluster.workers[0].signal("TERM");
        assert!(cluster.coordinator.terminate().await);
        assert!(cluster.workers[0].terminate().await);
        cluster.coordinator = cluster.start_process("coordinator");
        cluster.workers[0] = cluster.start_process("worker");
        let job = cluster.job_when(&name, SOON, |_| true).await;
        assert_eq!(job.cause, None, "deploy {deploy}");
    }
    let job = cluster.ended(&name).await;
    assert_eq!((job.state(), &job.cause), (State::Succeeded, &None));
    let events = cluster.events(&name).await;
    let released = |event: &&pb::JobEvent| event.message.contains("given back");
    assert_eq!(events.iter().filter(released).count(), 10);

    let undisturbed = cluster.train(&dataset, &long_job()).await;
    assert_eq!(job.model_version, undisturbed.model_version);
}

#[tokio::test]
async fn one_process_that_leaves_gives_its_own_job_back() {
    let newcomer = Newcomer::new();
    let data = newcomer.folder().join("two-groups");
    write_two_groups(&data);
    let mut up = newcomer.up().await;
    let imported =
        newcomer.json(&["dataset", "import", data.to_str().unwrap()]);
    let dataset = imported["dataset"].as_str().unwrap();
    let mut submit = vec!["train", "submit", "--dataset", dataset];
    for field in e2e::SLOW_JOB {
        submit.extend(["--set", field]);
    }
    let name = newcomer.json(&submit)["name"].as_str().unwrap().to_owned();
    let is_training = |shown: &serde_json::Value| {
        shown["epochs"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    };
    e2e::eventually("the job trains", SOON, async || {
        is_training(&newcomer.json(&["train", "show", &name])).then_some(())
    })
    .await;
    assert!(up.terminate().await);

    let mut up = newcomer.up().await;
    e2e::eventually("the job goes on", SOON, async || {
        let shown = newcomer.json(&["train", "show", &name]);
        assert!(shown["cause"].is_null(), "{shown}");
        (shown["attempts"] == 2 && is_training(&shown)).then_some(())
    })
    .await;
    newcomer.json(&["train", "cancel", &name]);
    assert!(up.terminate().await);
}
