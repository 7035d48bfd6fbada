//! Many requests: one by one or together, on one scorer or another, the answers
//! are the same.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, PATIENT, ids, kinds, request, within};
use proto::pb;
use tonic::Code;

#[tokio::test]
async fn a_stream_answers_each_request_by_its_number() {
    let cluster = Cluster::start_with_model().await;
    let requests: Vec<_> = (0..100_u64)
        .map(|id| {
            // Every tenth is malformed.
            let k = if id % 10 == 9 { 0 } else { 3 };
            // Two of these are all that a stream works on at once.
            let n_excluded = if id % 8 == 1 { 10_000 } else { 0 };
            let excluded_item_ids = (0..n_excluded)
                .map(|number| format!("unknown-{number}"))
                .collect();
            let request = pb::RecommendRequest {
                excluded_item_ids,
                ..request(&format!("u{}", id % 60), k)
            };
            pb::BatchRecommendRequest {
                id,
                request: Some(request),
            }
        })
        .collect();
    let mut stream = cluster
        .recommendations()
        .batch_recommend(tokio_stream::iter(requests))
        .await
        .unwrap()
        .into_inner();
    let mut answered = std::collections::BTreeMap::new();
    while let Some(answer) = stream.message().await.unwrap() {
        answered.insert(answer.id, answer.result.unwrap());
    }
    assert_eq!(answered.len(), 100);
    for (id, result) in answered {
        use pb::batch_recommend_response::Result;
        match result {
            Result::Response(answer) => {
                let alone = cluster
                    .recommend(request(&format!("u{}", id % 60), 3))
                    .await;
                assert_eq!(ids(&answer.items), ids(&alone.items));
            }
            Result::Failure(failure) => {
                assert_eq!(
                    (id % 10, failure.code),
                    (9, Code::InvalidArgument as i32),
                    "{}",
                    failure.message
                );
            }
        }
    }
}

/// A pseudorandom request: any mix of fields, the same for the same number.
fn any_request(number: u64) -> pb::RecommendRequest {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut below = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let item = |n: u64| format!("i{n:02}");
    let history: Vec<u64> = if below(2) == 0 {
        Vec::new()
    } else {
        (0..1 + below(20)).map(|_| below(22)).collect()
    };
    let history = history
        .into_iter()
        .map(|n| pb::InlineInteraction {
            item_id: item(n),
            time: None,
        })
        .collect();
    let filters = [
        "",
        "",
        "year >= 2007",
        r#"category == "Space""#,
        r#"!("Games" in categories)"#,
    ];
    pb::RecommendRequest {
        history,
        exclude_seen: Some(below(2) == 0),
        excluded_item_ids: (0..below(4)).map(|_| item(below(22))).collect(),
        candidate_item_ids: (0..below(3) * 5)
            .map(|_| item(below(22)))
            .collect(),
        filter: filters[below(5) as usize].to_owned(),
        relax_filter: below(2) == 0,
        ..request(&format!("u{}", below(70)), 1 + below(20) as u32)
    }
}

#[tokio::test]
async fn ten_thousand_random_requests_are_answered_the_same_on_every_replica_alone_and_together()
 {
    const N: u64 = 10_000;
    const TOGETHER: usize = 16;
    let cluster = Cluster::start_with_model().await;
    // With room for all of them on any number of cores: how many are let in is
    // the gate's own test.
    let (_other, port) =
        cluster.start_scorer(&[("SCORER__MAX_RUNNING", "64")]).await;
    // This replica is asked for many at once, the first for one after the
    // other.
    let mut together = Vec::new();
    for first in (0..N).step_by(TOGETHER) {
        let mut asked = tokio::task::JoinSet::new();
        for number in first..(first + TOGETHER as u64).min(N) {
            let mut client = cluster.recommendations_at(port);
            asked.spawn(async move {
                (
                    number,
                    client
                        .recommend(within(PATIENT, any_request(number)))
                        .await
                        .unwrap()
                        .into_inner(),
                )
            });
        }
        together.extend(asked.join_all().await);
    }
    let mut alone = cluster.recommendations();
    for (number, one) in together {
        let other = alone
            .recommend(any_request(number))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (ids(&one.items), kinds(&one)),
            (ids(&other.items), kinds(&other)),
            "request {number}"
        );
        for (one, other) in one.items.iter().zip(&other.items) {
            assert!(
                (one.score - other.score).abs()
                    <= 1e-6 * other.score.abs().max(1.0),
                "{one:?} {other:?}"
            );
        }
    }
}
