//! Many jobs: what they cost, and who gets them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Cluster, FakeWorker, Options, Sizes, measure_queue};
use proto::pb;
use tokio::task::JoinSet;

/// The short form of `make bench-queue`; its bounds are wide, since other tests
/// run beside it.
#[tokio::test]
async fn many_queued_jobs_cost_nothing_and_are_leased_at_once() {
    let sizes = Sizes {
        n_jobs: 1_000,
        n_workers: 50,
        n_watchers: 50,
        seconds: 2,
    };
    let term = Options::settings(&[("COORDINATOR__LEASE_TERM_S", "10")]);
    let mut cluster = Cluster::start_with(term.without_worker()).await;
    let dataset = cluster.import_two_groups();
    let figures = measure_queue(&mut cluster, &dataset, sizes).await;
    assert!(
        figures.slowest_lease < Duration::from_secs(5),
        "{figures:?}"
    );
    assert!(figures.idle.commands_per_second < 100.0, "{figures:?}");
    assert!(figures.idle.cores < 0.2, "{figures:?}");
    assert!(figures.waiting.commands_per_second < 800.0, "{figures:?}");
    assert!(figures.bytes_of_a_job < 10_000, "{figures:?}");
    assert!(figures.bytes_of_a_long_job < 10_000, "{figures:?}");
}

#[tokio::test]
async fn two_coordinators_give_each_job_to_one_worker() {
    let cluster = Cluster::start_without_worker().await;
    let other = cluster.start_coordinator(&[]).await;
    let dataset = cluster.import_two_groups();
    let n_jobs = 60;
    let mut asking = JoinSet::new();
    for number in 0..n_jobs {
        let coordinator = match number % 2 {
            0 => cluster.worker_service(),
            _ => other.worker_service(),
        };
        let name = format!("worker-{number}");
        let mut worker = FakeWorker::new(name, coordinator);
        asking.spawn(async move {
            let leased = worker.lease(20_000).await.unwrap();
            leased.expect("a job for each").job
        });
    }
    let mut submitted = BTreeSet::new();
    for number in 0..n_jobs {
        let mut client = match number % 3 {
            0 => other.training(),
            _ => cluster.training(),
        };
        let spec = pb::TrainSpec {
            dataset: dataset.clone(),
            ..Default::default()
        };
        let request = pb::TrainJobRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let job = client.train_job(request).await.unwrap();
        submitted.insert(job.into_inner().name);
    }
    let leased: Vec<String> = asking.join_all().await;
    assert_eq!(leased.len(), submitted.len());
    assert_eq!(leased.into_iter().collect::<BTreeSet<_>>(), submitted);
}

#[tokio::test]
async fn a_wait_for_work_ends_when_it_was_said_to() {
    let cluster = Cluster::start_without_worker().await;
    let mut worker = FakeWorker::new("worker", cluster.worker_service());
    let started = std::time::Instant::now();
    assert_eq!(worker.lease(300).await.unwrap(), None);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(290), "{waited:?}");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn a_job_goes_to_a_worker_that_is_there() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    // One asks and leaves before there is a job.
    let mut gone = FakeWorker::new("gone", cluster.worker_service());
    let asking = gone.lease(20_000);
    tokio::time::timeout(Duration::from_millis(300), asking)
        .await
        .unwrap_err();
    let name = cluster.submit(&dataset, &[]);
    let mut worker = FakeWorker::new("there", cluster.worker_service());
    let leased = worker.lease(10_000).await.unwrap().unwrap();
    assert_eq!(leased.job, name);
    worker.release(&leased).await.unwrap();
    let again = worker.lease(10_000).await.unwrap().unwrap();
    assert_eq!((again.job, again.epoch), (name, leased.epoch + 1));
}

/// The names of all jobs that a list has, two a page.
async fn list(cluster: &Cluster, request: pb::ListJobsRequest) -> Vec<String> {
    let mut request = pb::ListJobsRequest {
        page_size: 2,
        ..request
    };
    let mut listed = Vec::new();
    loop {
        let mut client = cluster.training();
        let page = client.list_jobs(request.clone()).await.unwrap();
        let page = page.into_inner();
        listed.extend(page.jobs.into_iter().map(|job| job.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return listed;
        }
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged_from_either_end() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let mut names = Vec::new();
    for number in 0..5 {
        let label = format!("label-{}", number % 2);
        let options = ["--label", label.as_str()];
        let job = cluster.submit_with(&options, &dataset, &[]);
        names.push(job["name"].as_str().unwrap().to_owned());
    }
    let cancel = pb::CancelJobRequest {
        name: names[0].clone(),
    };
    cluster.training().cancel_job(cancel).await.unwrap();

    let list = async |request| list(&cluster, request).await;
    assert_eq!(list(pb::ListJobsRequest::default()).await, names);
    let newest = pb::ListJobsRequest {
        newest_first: true,
        ..Default::default()
    };
    let backwards: Vec<String> = names.iter().rev().cloned().collect();
    assert_eq!(list(newest).await, backwards);
    let queued = pb::ListJobsRequest {
        state: pb::job::State::Queued.into(),
        ..Default::default()
    };
    assert_eq!(list(queued).await, names[1..]);
    let both = pb::ListJobsRequest {
        state: pb::job::State::Queued.into(),
        label: "label-0".to_owned(),
        dataset: dataset.clone(),
        ..Default::default()
    };
    assert_eq!(list(both).await, [&*names[2], &*names[4]]);
    let elsewhere = pb::ListJobsRequest {
        dataset: "datasets/none".to_owned(),
        ..Default::default()
    };
    assert!(list(elsewhere).await.is_empty());

    let shown = cluster.cli_json(&[
        "train",
        "list",
        "--state",
        "cancelled",
        "--newest-first",
        "--limit",
        "1",
    ]);
    assert_eq!(shown["name"], *names[0]);
}
