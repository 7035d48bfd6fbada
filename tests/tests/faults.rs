//! What happens when something around the services goes away.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::time::Duration;

use e2e::{
    Cluster, Process, Redis, binary, eventually, free_port, inline,
    interaction, new_history, within,
};
use proto::pb;
use proto::pb::degradation::Kind;
use tonic_health::pb::health_check_response::ServingStatus;

fn request(user: &str) -> pb::RecommendRequest {
    e2e::request(user, 5)
}

fn scored(answer: &pb::RecommendResponse) -> Vec<(String, f32)> {
    answer
        .items
        .iter()
        .map(|item| (item.item_id.clone(), item.score))
        .collect()
}

#[tokio::test]
async fn a_lost_cache_changes_no_answer() {
    let mut cluster = Cluster::start_with_model().await;
    let mut client = cluster.recommendations();
    let rows = cluster.cache.command(&["KEYS", "*rows*"]);
    assert!(
        !rows.trim().is_empty(),
        "user and item rows are in the cache"
    );
    let mut before = Vec::new();
    for user in 0..10 {
        before.push(scored(
            client
                .recommend(request(&format!("u{user}")))
                .await
                .unwrap()
                .get_ref(),
        ));
    }
    let (_other, port) = cluster.start_scorer(&[]).await;
    let warm = cluster
        .recommendations_at(port)
        .recommend(request("u0"))
        .await
        .unwrap()
        .into_inner();
    assert!(
        warm.cached,
        "a cold replica takes the state from the shared cache"
    );
    assert_eq!(scored(&warm), before[0]);

    cluster.cache.command(&["FLUSHALL"]);
    for (user, expected) in before.iter().enumerate() {
        assert_eq!(
            &scored(
                client
                    .recommend(request(&format!("u{user}")))
                    .await
                    .unwrap()
                    .get_ref()
            ),
            expected
        );
    }
    cluster.cache.kill();
    for (user, expected) in before.iter().enumerate() {
        let answer = client
            .recommend(request(&format!("u{user}")))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(&scored(&answer), expected);
        assert!(
            answer.degradations.is_empty(),
            "a cache that is gone takes nothing from the answer"
        );
    }
    let fresh = pb::RecommendRequest {
        history: inline(&["i03"]),
        ..request("u3")
    };
    assert!(!client.recommend(fresh).await.unwrap().get_ref().cached);
}

#[tokio::test]
async fn a_frozen_cache_fails_no_request_and_hardly_delays_one() {
    let cluster = Cluster::start_with_model().await;
    // A wait for the cache is longer than anything that a busy machine does.
    let (_other, port) = cluster
        .start_scorer(&[("SCORER__STORAGE__CACHE_TIMEOUT_MS", "500")])
        .await;
    let mut client = cluster.recommendations_at(port);
    client.recommend(request("u0")).await.unwrap();
    cluster.cache.freeze();
    let mut slow = 0;
    for round in 0..200 {
        // A history that nobody has had: its state is looked for in the cache,
        // and then computed and written there.
        let items = ["i01", "i03", "i05", "i07"]
            .into_iter()
            .cycle()
            .skip(round % 4)
            .take(1 + round / 4 % 4);
        let history = inline(&items.collect::<Vec<_>>());
        let started = std::time::Instant::now();
        client
            .recommend(pb::RecommendRequest {
                history,
                ..request(&format!("u{}", round % 60))
            })
            .await
            .unwrap();
        slow += usize::from(started.elapsed() > Duration::from_millis(400));
    }
    cluster.cache.thaw();
    // One call waits for the cache until it is given up; after that, one now
    // and then tries it again.
    assert!(slow <= 5, "{slow} of 200 requests waited");
    // It is used again, although somebody asks all the time.
    let (n_states, mut number) = (
        || cluster.cache.command(&["KEYS", "*states*"]).lines().count(),
        0,
    );
    let before = n_states();
    eventually(
        "the cache is used again",
        Duration::from_secs(60),
        async || {
            number += 1;
            let history = new_history(number);
            client
                .recommend(pb::RecommendRequest {
                    history,
                    ..request("u0")
                })
                .await
                .unwrap();
            (n_states() > before).then_some(())
        },
    )
    .await;
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_frozen_store_leaves_time_for_what_is_remembered() {
    let cluster = Cluster::start_with_model().await;
    let mut client = cluster.recommendations();
    let before =
        scored(client.recommend(request("u1")).await.unwrap().get_ref());
    for (ms, noticeable_ms) in [(1_000, 200), (390, 160)] {
        cluster.store.freeze();
        let mut slow = 0;
        for _ in 0..100 {
            let started = std::time::Instant::now();
            let answer = client
                .recommend(within(Duration::from_millis(ms), request("u1")))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(scored(&answer), before);
            assert_eq!(
                answer.degradations[0].kind(),
                Kind::HistoryStoreUnavailable
            );
            slow += usize::from(
                started.elapsed() > Duration::from_millis(noticeable_ms),
            );
        }
        // A few calls wait half of their time for the store; for half a second
        // afterwards nobody does.
        assert!(
            slow <= 20,
            "{slow} of 100 requests waited of those that have {ms} ms"
        );
        let unknown = client
            .recommend(within(SECOND, request("u2")))
            .await
            .unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::Unavailable);
        let mut instead = within(SECOND, request("u2"));
        instead.get_mut().history = inline(&["i03"]);
        assert_eq!(
            client
                .recommend(instead)
                .await
                .unwrap()
                .get_ref()
                .history_length,
            1
        );
        cluster.store.thaw();
        eventually("the store is back", Duration::from_secs(20), async || {
            client
                .recommend(within(SECOND, request("u1")))
                .await
                .ok()
                .filter(|answer| answer.get_ref().degradations.is_empty())
        })
        .await;
    }
}

#[tokio::test]
async fn a_history_that_was_being_changed_when_the_store_froze_is_not_passed_off_as_the_old_one()
 {
    let cluster = Cluster::start_with_model().await;
    let mut client = cluster.recommendations();
    client.recommend(request("u1")).await.unwrap();
    cluster.store.freeze();
    let interactions = vec![interaction("u1", "i19", "e1")];
    let bought = pb::RecordInteractionsRequest {
        interactions,
        catalog: String::new(),
    };
    cluster
        .histories()
        .record_interactions(within(SECOND, bought))
        .await
        .unwrap_err();
    let mut old = within(SECOND, request("u1"));
    old.get_mut().max_staleness = Some(prost_types::Duration {
        seconds: 600,
        nanos: 0,
    });
    assert_eq!(
        client.recommend(old).await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
    cluster.store.thaw();
    eventually("the store is back", Duration::from_secs(20), async || {
        client.recommend(within(SECOND, request("u1"))).await.ok()
    })
    .await;
}

/// Records one interaction of one of five users.
async fn record_one(cluster: &Cluster, number: usize) {
    let user = format!("new-{}", number % 5);
    let item = format!("item-{number}");
    let event = format!("event-{number}");
    let interactions = vec![interaction(&user, &item, &event)];
    assert_eq!(cluster.record(interactions).await, 1);
}

#[tokio::test]
async fn a_restarted_store_has_every_acknowledged_interaction() {
    let mut cluster = Cluster::start_with_model().await;
    let mut client = cluster.recommendations();
    let known =
        scored(client.recommend(request("u1")).await.unwrap().get_ref());
    for number in 0..50 {
        record_one(&cluster, number).await;
    }
    cluster.store.kill();

    let remembered =
        client.recommend(request("u1")).await.unwrap().into_inner();
    assert_eq!(
        scored(&remembered),
        known,
        "a known user is still answered from memory"
    );
    assert_eq!(
        remembered.degradations[0].kind(),
        Kind::HistoryStoreUnavailable
    );
    let unknown = client.recommend(request("u4")).await.unwrap_err();
    assert_eq!(
        unknown.code(),
        tonic::Code::Unavailable,
        "an unknown history is never passed off as empty"
    );
    client
        .recommend(pb::RecommendRequest {
            history: inline(&["i03"]),
            ..request("u4")
        })
        .await
        .unwrap();

    cluster.store.resume().await;
    for user in 0..5 {
        let history = eventually(
            "the store is back",
            Duration::from_secs(20),
            async || {
                let request = pb::GetHistoryRequest {
                    user_id: format!("new-{user}"),
                    ..Default::default()
                };
                cluster.histories().get_history(request).await.ok()
            },
        )
        .await;
        assert_eq!(history.get_ref().interactions.len(), 10, "user new-{user}");
    }
    client.recommend(request("u4")).await.unwrap();
}

#[tokio::test]
async fn a_store_that_may_lose_what_it_acknowledged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let volatile = Redis::cache(folder.path()).await;
    for name in ["coordinator", "scorer"] {
        let address = format!("127.0.0.1:{}", free_port());
        let command = || {
            let mut command = Command::new(binary(name));
            let service = name.to_uppercase();
            command.current_dir(folder.path());
            command.env(format!("{service}__STORAGE__STORE"), volatile.url());
            command.env(format!("{service}__API__ADDRESS"), &address);
            command.env(
                "COORDINATOR__WORKERS__ADDRESS",
                format!("127.0.0.1:{}", free_port()),
            );
            command
        };
        let output = command().output().unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            error.contains("allkeys-lru") && error.contains("appendonly"),
            "{error}"
        );
        let mut allowed =
            Process::start(command().arg("--allow-volatile-store"));
        eventually("the service starts", Duration::from_secs(20), async || {
            tokio::net::TcpStream::connect(&address).await.ok()
        })
        .await;
        assert!(allowed.terminate().await, "{name} leaves in good order");
    }
}

#[tokio::test]
async fn a_scorer_without_a_model_is_alive_but_not_ready_and_drains_on_sigterm()
{
    let mut cluster = Cluster::start().await;
    assert_eq!(
        cluster.scorer_health().await,
        Some(ServingStatus::NotServing)
    );
    let none = cluster
        .recommendations()
        .recommend(request("u0"))
        .await
        .unwrap_err();
    assert_eq!(none.code(), tonic::Code::FailedPrecondition);
    let dataset = cluster.import_two_groups();
    cluster.train(&dataset, &[]).await;
    cluster.wait_until_ready().await;
    assert!(cluster.scorer.terminate().await);
    assert!(cluster.coordinator.terminate().await);
    assert!(cluster.workers[0].terminate().await);
}

#[tokio::test]
async fn a_worker_that_leaves_gives_its_job_back_without_costing_an_attempt() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &e2e::SLOW_JOB);
    cluster
        .job_when(&name, Duration::from_secs(60), |job| {
            job.progress.as_ref().is_some_and(|p| p.step > 0)
        })
        .await;
    assert!(cluster.workers[0].terminate().await);
    let job = cluster
        .job_when(&name, Duration::from_secs(5), |job| job.worker.is_empty())
        .await;
    assert_eq!((job.state(), job.cause), (pb::job::State::Queued, None));
}
