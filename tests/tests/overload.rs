//! A scorer that is asked for more than it can compute.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{
    Cluster, PATIENT, binary, eventually, inline, new_history, request, within,
};
use proto::pb;
use proto::pb::batch_recommend_response::Result as Outcome;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// A request by a history that no other number has.
fn fresh(number: usize) -> Request<pb::RecommendRequest> {
    within(
        PATIENT,
        pb::RecommendRequest {
            history: new_history(number),
            ..Default::default()
        },
    )
}

/// A prompt waits a second for others, of which the queue takes none.
const FULL: [(&str, &str); 3] = [
    ("SCORER__MAX_WAIT_MS", "1000"),
    ("SCORER__MAX_QUEUE_TOKENS", "1"),
    ("SCORER__MAX_RUNNING", "64"),
];

/// States that were looked for in the shared cache.
fn lookups(cluster: &Cluster) -> usize {
    let statistics = cluster.cache.command(&["INFO", "commandstats"]);
    let calls = statistics.lines().find_map(|line| {
        line.strip_prefix("cmdstat_hget:calls=")?.split(',').next()
    });
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn what_a_full_queue_refuses_has_a_hint_when_to_come_back_and_is_not_looked_for_in_vain()
 {
    let cluster = Cluster::start_with_model().await;
    let (_other, port) = cluster.start_scorer(&FULL).await;
    let before = lookups(&cluster);
    let next = Arc::new(AtomicUsize::new(0));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, next) =
            (cluster.recommendations_at(port), Arc::clone(&next));
        asking.spawn(async move {
            let mut answers: Vec<(
                usize,
                Result<Response<pb::RecommendResponse>, Status>,
            )> = Vec::new();
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && number < 400
            {
                answers.push((number, client.recommend(fresh(number)).await));
            }
            answers
        });
    }
    let answers: Vec<_> =
        asking.join_all().await.into_iter().flatten().collect();
    let refused: Vec<_> = answers
        .iter()
        .filter_map(|(number, answer)| Some((number, answer.as_ref().err()?)))
        .collect();
    assert!(
        (1..400).contains(&refused.len()),
        "{} of 400 refused",
        refused.len()
    );
    for (_, status) in &refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let hint = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        assert!(hint.is_some_and(|hint| !hint.is_zero()), "{status}");
    }
    let n_lookups = lookups(&cluster) - before;
    assert!(
        2 * n_lookups < refused.len(),
        "{n_lookups} looks for {} refused",
        refused.len()
    );
    let again = cluster
        .recommendations_at(port)
        .recommend(fresh(*refused[0].0))
        .await
        .unwrap();
    assert!(
        !again.get_ref().cached,
        "nothing is left of what was refused"
    );
}

#[tokio::test]
async fn a_load_that_throttles_itself_is_refused_far_less() {
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    let (_other, port) = cluster.start_scorer(&FULL).await;
    let workload = cluster.folder().join("fresh.toml");
    std::fs::write(
        &workload,
        "deadline_ms = 30000\n[[kinds]]\nfresh_history = 5\n",
    )
    .unwrap();
    let refused = |more: &[&str]| {
        let mut load = std::process::Command::new(binary("cllm4rec-load"));
        load.arg("--url")
            .arg(format!("http://127.0.0.1:{port}"))
            .arg("--workload")
            .arg(&workload);
        load.arg("--dataset")
            .arg(cluster.artifacts().join(&dataset));
        load.args(["--rate", "500", "--seconds", "4", "--warm-up", "0"])
            .args(more);
        let output = load.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap();
        let n =
            |pointer: &str| report.pointer(pointer).unwrap().as_u64().unwrap();
        assert_eq!(
            n("/sent") + n("/not_sent") + n("/held_back"),
            2_000,
            "{report}"
        );
        (n("/refused/n"), n("/held_back"))
    };
    let (pushed, 0) = refused(&[]) else {
        panic!("held back without being told to")
    };
    let (throttled, held_back) = refused(&["--throttle"]);
    assert!(
        pushed > 1_000 && 2 * throttled < pushed && held_back > 500,
        "{pushed}, {throttled}, {held_back}"
    );
}

#[tokio::test]
async fn equal_requests_share_one_forward_and_a_deadline_ends_what_waits() {
    let cluster = Cluster::start_with_model().await;
    let patient = [
        ("SCORER__MAX_WAIT_MS", "3000"),
        ("SCORER__DEFAULT_DEADLINE_MS", "300"),
    ];
    let (_other, port) = cluster.start_scorer(&patient).await;
    let counter = async |name: &str| {
        cluster
            .status_at(port)
            .await
            .counters
            .get(name)
            .copied()
            .unwrap_or(0)
    };
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut client = cluster.recommendations_at(port);
        asking.spawn(async move {
            client.recommend(fresh(1)).await.unwrap().into_inner()
        });
    }
    let answers = asking.join_all().await;
    assert!(
        answers
            .iter()
            .all(|answer| !answer.cached && answer.items == answers[0].items)
    );
    assert_eq!(
        (
            counter("states.computed").await,
            counter("states.joined").await
        ),
        (1, 4)
    );

    let mut without_deadline = fresh(2);
    without_deadline.metadata_mut().remove("grpc-timeout");
    let late = cluster
        .recommendations_at(port)
        .recommend(without_deadline)
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert_eq!(counter("failed.too_late").await, 1);
}

/// A request by a history that no other number has, of a client that says its
/// name.
fn of_client(client: &str, number: usize) -> Request<pb::RecommendRequest> {
    let mut request = fresh(number);
    request
        .metadata_mut()
        .insert("client-id", client.parse().unwrap());
    request
}

/// Clients of one name that ask again and again, sixteen at once, until they
/// are stopped.
struct Greedy {
    asking: tokio::task::JoinSet<usize>,
    stop: Arc<AtomicBool>,
}

impl Greedy {
    fn start(cluster: &Cluster, port: u16) -> Self {
        let next = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let mut client = cluster.recommendations_at(port);
            let (next, stop) = (Arc::clone(&next), Arc::clone(&stop));
            asking.spawn(async move {
                let mut n_refused = 0;
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed) % 8_000;
                    let answer =
                        client.recommend(of_client("greedy", number)).await;
                    n_refused += usize::from(is_overloaded(&answer));
                }
                n_refused
            });
        }
        Self { asking, stop }
    }

    /// Stops all of them; returns how many of their requests were refused.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join_all().await.into_iter().sum()
    }
}

fn is_overloaded<T>(answer: &Result<T, Status>) -> bool {
    let refused = answer.as_ref().err();
    refused.is_some_and(|status| status.code() == Code::ResourceExhausted)
}

#[tokio::test]
async fn a_greedy_client_costs_a_modest_one_nothing_and_batches_wait_for_both()
{
    let cluster = Cluster::start_with_model().await;
    // Eight are inside at once, and each waits for others to share its forward
    // pass.
    let small = [
        ("SCORER__MAX_REQUESTS", "8"),
        ("SCORER__MAX_RUNNING", "64"),
        ("SCORER__MAX_WAIT_MS", "20"),
    ];
    let (_other, port) = cluster.start_scorer(&small).await;
    let greedy = Greedy::start(&cluster, port);
    eventually("the scorer is full", Duration::from_secs(20), async || {
        let counters = cluster.status_at(port).await.counters;
        counters.get("refused.overloaded").map(|_| ())
    })
    .await;
    let batches = (0..20).map(|id| pb::BatchRecommendRequest {
        id,
        request: Some(request(&format!("u{id}"), 3)),
    });
    let mut stream = cluster
        .recommendations_at(port)
        .batch_recommend(tokio_stream::iter(batches))
        .await
        .unwrap();
    let mut modest = cluster.recommendations_at(port);
    let mut n_batches_refused = 0;
    for number in 0..30 {
        modest
            .recommend(of_client("modest", 7_000 + number))
            .await
            .unwrap();
        let mut batch = of_client("patient", 7_500 + number);
        batch.get_mut().priority = pb::Priority::Batch.into();
        n_batches_refused +=
            usize::from(modest.recommend(batch).await.is_err());
    }
    let n_refused = greedy.stop().await;
    assert!(
        n_refused > 0 && n_batches_refused > 0,
        "{n_refused}, {n_batches_refused}"
    );
    let mut n_answered = 0;
    while let Some(answer) = stream.get_mut().message().await.unwrap() {
        assert!(
            matches!(answer.result, Some(Outcome::Response(_))),
            "{answer:?}"
        );
        n_answered += 1;
    }
    assert_eq!(n_answered, 20, "a stream waits until there is room");
}

#[tokio::test]
async fn a_client_may_call_itself_anything() {
    let cluster = Cluster::start_with_model().await;
    for name in [String::new(), "x".repeat(4_000)] {
        cluster
            .recommendations()
            .recommend(of_client(&name, 1))
            .await
            .unwrap();
    }
    let mut request = fresh(1);
    let not_utf8 =
        tonic::metadata::AsciiMetadataValue::try_from(&b"\xff\xfe"[..])
            .unwrap();
    request.metadata_mut().insert("client-id", not_utf8);
    cluster.recommendations().recommend(request).await.unwrap();
}

/// A stream whose first request is answered, and which goes on waiting for the
/// next one.
type Open = (
    tokio::sync::mpsc::Sender<pb::BatchRecommendRequest>,
    tonic::Streaming<pb::BatchRecommendResponse>,
);

async fn open_stream(cluster: &Cluster, port: u16) -> Result<Open, Status> {
    let request = pb::RecommendRequest {
        history: inline(&["i03"]),
        ..Default::default()
    };
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    sender
        .try_send(pb::BatchRecommendRequest {
            id: 1,
            request: Some(request),
        })
        .unwrap();
    let mut client = cluster.recommendations_at(port);
    let mut answers = client
        .batch_recommend(ReceiverStream::new(requests))
        .await?
        .into_inner();
    assert!(matches!(
        answers.message().await?.unwrap().result,
        Some(Outcome::Response(_))
    ));
    Ok((sender, answers))
}

#[tokio::test]
async fn no_more_streams_are_open_than_may_be_and_one_that_ends_makes_room() {
    let cluster = Cluster::start_with_model().await;
    let (_other, port) =
        cluster.start_scorer(&[("SCORER__MAX_STREAMS", "2")]).await;
    let open = async || open_stream(&cluster, port).await;
    let (first, _second) = (open().await.unwrap(), open().await.unwrap());
    let refused = open().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.get_details_retry_info().is_some());
    drop(first);
    eventually("there is room", Duration::from_secs(10), async || {
        open().await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_is_closed_and_makes_room() {
    let cluster = Cluster::start_with_model().await;
    let (_other, port) = cluster
        .start_scorer(&[
            ("SCORER__MAX_STREAMS", "1"),
            ("SCORER__STREAM_IDLE_S", "3"),
        ])
        .await;
    let (_sender, mut answers) = open_stream(&cluster, port).await.unwrap();
    assert_eq!(
        open_stream(&cluster, port).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    let closed = answers.message().await.unwrap_err();
    assert_eq!(closed.code(), Code::DeadlineExceeded, "{closed}");
    eventually("there is room", Duration::from_secs(10), async || {
        open_stream(&cluster, port).await.ok()
    })
    .await;
}
