//! What a Prometheus scrapes: everything is there from the start, counts what
//! happened, and is in docs/metrics.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Cluster, Options, TINY_JOB, eventually, free_port, http, request};

/// A cluster with ports for metrics.
struct Scraped {
    cluster: Cluster,
    coordinator: u16,
    scorer: u16,
    worker: u16,
}

impl Scraped {
    async fn start() -> Self {
        let [coordinator, scorer, worker] =
            [free_port(), free_port(), free_port()];
        let address = |port: u16| format!("127.0.0.1:{port}");
        let settings = [
            ("COORDINATOR__METRICS__ADDRESS", &*address(coordinator)),
            ("SCORER__METRICS__ADDRESS", &*address(scorer)),
            ("WORKER__METRICS__ADDRESS", &*address(worker)),
        ];
        Self {
            cluster: Cluster::start_with(Options::settings(&settings)).await,
            coordinator,
            scorer,
            worker,
        }
    }
}

/// The numbers of a port by their names with labels.
async fn scrape(port: u16) -> BTreeMap<String, f64> {
    let answer = http(port, "GET /metrics", "", "").await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(answer.body.ends_with("# EOF\n"));
    let numbers = answer.body.lines().filter(|line| !line.starts_with('#'));
    let numbers = numbers.map(|line| {
        let (name, number) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), number.parse().unwrap())
    });
    numbers.collect()
}

/// The names of the metrics of a port, without what histograms add.
async fn names(port: u16) -> Vec<String> {
    let answer = http(port, "GET /metrics", "", "").await;
    let lines = answer.body.lines();
    let names = lines.filter_map(|line| line.strip_prefix("# TYPE "));
    names
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

const OF_RECOMMEND: &str = r#"method="RecommendationService/Recommend""#;

#[tokio::test]
async fn calls_are_counted_by_method_and_status_and_nothing_is_missing_before()
{
    let Scraped {
        cluster, scorer, ..
    } = Scraped::start().await;
    let before = scrape(scorer).await;
    let ok = format!("cllm4rec_rpc_ended_total{{{OF_RECOMMEND},code=\"OK\"}}");
    assert_eq!(before[&ok], 0.0, "before anybody has called");
    assert_eq!(before["cllm4rec_scorer_ready"], 0.0);

    let dataset = cluster.import_two_groups();
    cluster.train(&dataset, &TINY_JOB).await;
    cluster.wait_until_ready().await;
    for _ in 0..7 {
        cluster.recommend(request("u1", 3)).await;
    }
    let mut client = cluster.recommendations();
    client.recommend(request("u1", 0)).await.unwrap_err();
    let after = scrape(scorer).await;
    assert_eq!(after[&ok], 7.0);
    let refused = format!(
        "cllm4rec_rpc_ended_total{{{OF_RECOMMEND},code=\"INVALID_ARGUMENT\"}}"
    );
    assert_eq!(after[&refused], 1.0);
    let n_timed = format!("cllm4rec_rpc_seconds_count{{{OF_RECOMMEND}}}");
    assert_eq!(after[&n_timed], 8.0);
    let under_way = format!("cllm4rec_rpc_under_way{{{OF_RECOMMEND}}}");
    assert_eq!(after[&under_way], 0.0);
    assert_eq!(after["cllm4rec_scorer_ready"], 1.0);
    assert_eq!(after["cllm4rec_scorer_requests_inside"], 0.0);
    let event = r#"cllm4rec_scorer_events_total{event="failed.invalid"}"#;
    assert_eq!(after[event], 1.0);
    let versions = after.keys().filter(|name| {
        name.starts_with("cllm4rec_scorer_version_bytes")
            && name.contains(r#"labels="live""#)
    });
    assert_eq!(versions.count(), 1);
    assert!(after["process_resident_memory_bytes"] > 1e6);
}

#[tokio::test]
async fn jobs_and_the_worker_that_has_one_are_measured() {
    let Scraped {
        cluster,
        coordinator,
        worker,
        ..
    } = Scraped::start().await;
    let dataset = cluster.import_two_groups();
    cluster.submit(
        &dataset,
        &["finetuning.epochs=10000", "evaluation.patience=0"],
    );
    let time = Duration::from_secs(60);
    eventually("the worker is busy", time, async || {
        let numbers = scrape(worker).await;
        let is_learning = numbers["cllm4rec_worker_busy"] == 1.0
            && numbers["cllm4rec_worker_loss"] > 0.0;
        is_learning.then_some(())
    })
    .await;
    cluster.submit(&dataset, &TINY_JOB);
    eventually("jobs are counted", time, async || {
        let numbers = scrape(coordinator).await;
        let queued = r#"cllm4rec_jobs_queued{queue="default"}"#;
        let is_counted = numbers["cllm4rec_jobs_running"] == 1.0
            && numbers[queued] == 1.0
            && numbers["cllm4rec_workers_waiting"] == 0.0;
        is_counted.then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_metric_is_in_the_docs_and_every_one_there_is_measured() {
    let scraped = Scraped::start().await;
    let page = include_str!("../../docs/metrics.md");
    let mut documented = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("| `") {
            documented.push(rest.split('`').next().unwrap().to_owned());
        }
    }
    let mut measured = Vec::new();
    for port in [scraped.coordinator, scraped.scorer, scraped.worker] {
        measured.extend(names(port).await);
    }
    for names in [&mut documented, &mut measured] {
        names.sort_unstable();
        names.dedup();
    }
    assert_eq!(documented, measured);
}
