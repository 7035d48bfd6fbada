//! A scorer that is asked for more than it can compute.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Cluster, new_history};
use proto::pb;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

/// A request by a history that no other number has.
fn fresh(number: usize) -> Request<pb::RecommendRequest> {
    let mut request = Request::new(pb::RecommendRequest { history: new_history(number), ..Default::default() });
    request.set_timeout(Duration::from_secs(30));
    request
}

/// States that were looked for in the shared cache.
fn lookups(cluster: &Cluster) -> usize {
    let statistics = cluster.cache.command(&["INFO", "commandstats"]);
    let calls = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_hget:calls=")?.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn what_a_full_queue_refuses_has_a_hint_when_to_come_back_and_is_not_looked_for_in_vain() {
    let cluster = Cluster::start_with_model().await;
    // A prompt waits a second for others, of which the queue takes none.
    let full = [("SCORER__MAX_WAIT_MS", "1000"), ("SCORER__MAX_QUEUE_TOKENS", "1"), ("SCORER__MAX_RUNNING", "64")];
    let (_other, port) = cluster.start_scorer_with(&full);
    cluster.wait_until_ready_at(port).await;
    let before = lookups(&cluster);
    let next = Arc::new(AtomicUsize::new(0));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, next) = (cluster.recommendations_at(port), Arc::clone(&next));
        asking.spawn(async move {
            let mut answers: Vec<(usize, Result<Response<pb::RecommendResponse>, Status>)> = Vec::new();
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && number < 400
            {
                answers.push((number, client.recommend(fresh(number)).await));
            }
            answers
        });
    }
    let answers: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    let refused: Vec<_> =
        answers.iter().filter_map(|(number, answer)| Some((number, answer.as_ref().err()?))).collect();
    assert!((1..400).contains(&refused.len()), "{} of 400 refused", refused.len());
    for (_, status) in &refused {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(hint.is_some_and(|hint| !hint.is_zero()), "{status}");
    }
    let n_lookups = lookups(&cluster) - before;
    assert!(2 * n_lookups < refused.len(), "{n_lookups} looks for {} refused", refused.len());
    let again = cluster.recommendations_at(port).recommend(fresh(*refused[0].0)).await.unwrap();
    assert!(!again.get_ref().cached, "nothing is left of what was refused");
}

#[tokio::test]
async fn equal_requests_share_one_forward_and_a_deadline_ends_what_waits() {
    let cluster = Cluster::start_with_model().await;
    let patient = [("SCORER__MAX_WAIT_MS", "1000"), ("SCORER__DEFAULT_DEADLINE_MS", "300")];
    let (_other, port) = cluster.start_scorer_with(&patient);
    cluster.wait_until_ready_at(port).await;
    let counter = async |name: &str| cluster.status_at(port).await.counters.get(name).copied().unwrap_or(0);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut client = cluster.recommendations_at(port);
        asking.spawn(async move { client.recommend(fresh(1)).await.unwrap().into_inner() });
    }
    let answers = asking.join_all().await;
    assert!(answers.iter().all(|answer| !answer.cached && answer.items == answers[0].items));
    assert_eq!((counter("states.computed").await, counter("states.joined").await), (1, 4));

    let mut without_deadline = fresh(2);
    without_deadline.metadata_mut().remove("grpc-timeout");
    let late = cluster.recommendations_at(port).recommend(without_deadline).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert_eq!(counter("failed.too_late").await, 1);
}
