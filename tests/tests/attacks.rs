//! What a client may send, and what becomes of it: nothing falls over.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::Cluster;
use proto::pb;
use tonic::Code;

/// A port closes a connection that has said nothing for 10 s; the machine may
/// be busy.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn connections_that_say_nothing_are_closed_and_calls_go_on() {
    let cluster = Cluster::start_without_worker().await;
    let mut client = cluster.training();
    let port = cluster.coordinator_port();
    let silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    let all = pb::ListJobsRequest::default();
    client.list_jobs(all.clone()).await.unwrap();

    let closing = tokio::task::spawn_blocking(move || {
        let by = Instant::now() + CLOSED_WITHIN;
        for mut stream in silent {
            let left = by.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left)).unwrap();
            let mut bytes = Vec::new();
            let end = stream.read_to_end(&mut bytes);
            let is_open = end.is_err_and(|error| {
                matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                )
            });
            assert!(!is_open, "a silent connection is kept");
        }
    });
    closing.await.unwrap();
    client.list_jobs(all).await.unwrap();
}

#[tokio::test]
async fn a_specification_that_would_fill_the_store_is_refused() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let mut client = cluster.training();
    for (n_labels, expected) in [
        (17, Code::InvalidArgument),
        (450_000, Code::OutOfRange), // the message alone is too long
    ] {
        let labels = (0..n_labels).map(|n| format!("label-{n}")).collect();
        let spec = pb::TrainSpec {
            dataset: dataset.clone(),
            labels,
            ..pb::TrainSpec::default()
        };
        let request = pb::TrainJobRequest {
            spec: Some(spec),
            ..pb::TrainJobRequest::default()
        };
        let refused = client.train_job(request).await.unwrap_err();
        assert_eq!(refused.code(), expected, "{refused}");
        assert!(refused.message().len() < 1_000, "{refused}");
    }
}

#[tokio::test]
async fn a_model_with_numbers_that_no_record_holds_is_refused() {
    let cluster = Cluster::start_without_worker().await;
    let request = pb::CommitModelRequest {
        job: "jobs/job-01a221f2f7c677cb96330bc8ed66dbd8".to_owned(),
        epoch: 1,
        model: "4e0889d9c2806cd4e736a9ff8a61e394".to_owned(),
        metrics: [("ndcg@100".to_owned(), f64::NAN)].into(),
    };
    let mut client = cluster.worker_service();
    let refused = client.commit_model(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("ndcg@100"), "{refused}");
}
