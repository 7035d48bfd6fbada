//! `HistoryService` through the real scorer: what each field does, and what it
//! refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, Options, bad_fields, interaction};
use proto::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A cluster without models: histories need none.
async fn start(settings: &[(&str, &str)]) -> Cluster {
    Cluster::start_with(Options::settings(settings).without_worker()).await
}

fn of_user(user: &str) -> pb::GetHistoryRequest {
    pb::GetHistoryRequest {
        user_id: user.to_owned(),
        ..Default::default()
    }
}

async fn items(
    cluster: &Cluster,
    request: pb::GetHistoryRequest,
) -> Vec<String> {
    let history = cluster
        .histories()
        .get_history(request)
        .await
        .unwrap()
        .into_inner();
    history
        .interactions
        .into_iter()
        .map(|interaction| interaction.item_id)
        .collect()
}

#[tokio::test]
async fn a_history_is_kept_by_catalog_and_shown_from_its_latest_end() {
    let cluster = start(&[]).await;
    let at = |seconds: i64, item: &str| pb::Interaction {
        time: Some(proto::timestamp(seconds * 1_000)),
        ..interaction("u", item, "")
    };
    assert_eq!(
        cluster
            .record(vec![at(3, "c"), at(1, "a"), at(2, "b")])
            .await,
        3
    );
    let books = pb::RecordInteractionsRequest {
        interactions: vec![at(9, "book")],
        catalog: "books".to_owned(),
    };
    cluster
        .histories()
        .record_interactions(books)
        .await
        .unwrap();
    assert_eq!(items(&cluster, of_user("u")).await, ["a", "b", "c"]);
    let latest = |limit| pb::GetHistoryRequest {
        limit,
        ..of_user("u")
    };
    assert_eq!(items(&cluster, latest(2)).await, ["b", "c"]);
    assert_eq!(items(&cluster, latest(u32::MAX)).await, ["a", "b", "c"]);
    let in_books = pb::GetHistoryRequest {
        catalog: "books".to_owned(),
        ..of_user("u")
    };
    assert_eq!(items(&cluster, in_books.clone()).await, ["book"]);

    let delete = pb::DeleteUserRequest {
        user_id: "u".to_owned(),
        catalog: String::new(),
    };
    cluster.histories().delete_user(delete).await.unwrap();
    let history = cluster
        .histories()
        .get_history(of_user("u"))
        .await
        .unwrap()
        .into_inner();
    assert!(history.deleted && history.interactions.is_empty());
    assert_eq!(
        items(&cluster, in_books).await,
        ["book"],
        "another catalog's users are others"
    );
    let nobody = cluster
        .histories()
        .get_history(of_user("nobody"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(nobody, pb::GetHistoryResponse::default());
}

/// The fields that a refused call named as wrong.
fn wrong_fields(refused: &Status) -> Vec<String> {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    bad_fields(refused)
}

/// The fields that are wrong in a call that records.
async fn wrong_in(
    cluster: &Cluster,
    interactions: Vec<pb::Interaction>,
) -> Vec<String> {
    let request = pb::RecordInteractionsRequest {
        interactions,
        catalog: String::new(),
    };
    let answer = cluster.histories().record_interactions(request).await;
    wrong_fields(&answer.unwrap_err())
}

#[tokio::test]
async fn a_user_or_catalog_that_cannot_be_one_is_refused_and_named() {
    let cluster = start(&[]).await;
    let too_long = "x".repeat(257);
    for (user, catalog, field) in [
        ("", "", "user_id"),
        (&*too_long, "", "user_id"),
        ("u", "..", "catalog"),
    ] {
        let get = pb::GetHistoryRequest {
            user_id: user.to_owned(),
            catalog: catalog.to_owned(),
            limit: 0,
        };
        let refused = cluster.histories().get_history(get).await.unwrap_err();
        assert_eq!(wrong_fields(&refused), [field]);
        let delete = pb::DeleteUserRequest {
            user_id: user.to_owned(),
            catalog: catalog.to_owned(),
        };
        let refused =
            cluster.histories().delete_user(delete).await.unwrap_err();
        assert_eq!(wrong_fields(&refused), [field]);
    }
    assert_eq!(cluster.status().await.counters["failed.invalid"], 6);
}

#[tokio::test]
async fn what_a_history_call_may_hold_is_bounded_and_refusals_name_the_field() {
    let cluster = start(&[]).await;
    let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
    let good = interaction("u", "i", "e");
    let future = pb::Interaction {
        time: Some(proto::timestamp(i64::MAX / 2)),
        ..good.clone()
    };
    for (bad, field) in [
        (interaction("", "i", ""), "user_id"),
        (interaction(&too_long, "i", ""), "user_id"),
        (interaction("u", "", ""), "item_id"),
        (interaction("u", &too_long, ""), "item_id"),
        (interaction("u", "i", &too_long), "event_id"),
        (future, "time"),
    ] {
        let wrong = wrong_in(&cluster, vec![good.clone(), bad]).await;
        assert_eq!(wrong, [format!("interactions[1].{field}")]);
    }
    assert_eq!(
        items(&cluster, of_user("u")).await,
        Vec::<String>::new(),
        "nothing of a refused call is kept"
    );
    assert_eq!(wrong_in(&cluster, Vec::new()).await, ["interactions"]);
    let many = |n: usize| {
        (0..n)
            .map(|number| interaction(&longest, &format!("i{number}"), ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong_in(&cluster, many(10_001)).await, ["interactions"]);
    assert_eq!(cluster.record(many(10_000)).await, 10_000);
    assert_eq!(items(&cluster, of_user(&longest)).await.len(), 10_000);
    assert_eq!(cluster.status().await.counters["failed.invalid"], 8);
}

#[tokio::test]
async fn while_the_store_hangs_no_more_history_calls_wait_than_may_be_inside() {
    let cluster = start(&[
        ("SCORER__MAX_REQUESTS", "4"),
        ("SCORER__STORAGE__STORE_TIMEOUT_MS", "5000"),
    ])
    .await;
    cluster.store.freeze();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mut histories = cluster.histories();
        asking.spawn(async move {
            histories
                .get_history(of_user(&format!("u{number}")))
                .await
                .unwrap_err()
        });
    }
    let (refused, waited): (Vec<_>, Vec<_>) = asking
        .join_all()
        .await
        .into_iter()
        .partition(|status| status.code() == Code::ResourceExhausted);
    cluster.store.thaw();
    assert!(
        (1..=4).contains(&waited.len())
            && waited
                .iter()
                .all(|status| status.code() == Code::Unavailable),
        "{waited:?}"
    );
    assert_eq!(waited.len() + refused.len(), 20);
    assert!(
        refused
            .iter()
            .all(|status| status.get_details_retry_info().is_some())
    );
}

/// An interaction of the user `u` so many hours ago.
fn hours_ago(hours: i64, item: &str) -> pb::Interaction {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap() - 3_600 * hours;
    pb::Interaction {
        time: Some(proto::timestamp(1_000 * seconds)),
        ..interaction("u", item, "")
    }
}

#[tokio::test]
async fn events_that_are_too_old_are_dropped_when_the_users_next_one_arrives() {
    let cluster = start(&[]).await;
    let one_day = [("SCORER__STORAGE__MAX_EVENT_AGE_DAYS", "1")];
    let (_strict, port) = cluster.start_scorer_without_model(&one_day).await;
    let old = vec![
        hours_ago(72, "three-days"),
        hours_ago(25, "a-day-and-an-hour"),
        hours_ago(23, "almost-a-day"),
    ];
    assert_eq!(cluster.record(old).await, 3);
    let all = ["three-days", "a-day-and-an-hour", "almost-a-day"];
    assert_eq!(items(&cluster, of_user("u")).await, all);
    let strict = async || {
        let shown = cluster.histories_at(port).get_history(of_user("u")).await;
        let interactions = shown.unwrap().into_inner().interactions;
        let items = interactions.into_iter().map(|one| one.item_id);
        items.collect::<Vec<_>>()
    };
    assert_eq!(strict().await, all, "to look at a history changes nothing");

    let other = pb::Interaction {
        user_id: "other".to_owned(),
        ..hours_ago(0, "now")
    };
    assert_eq!(cluster.record_at(port, vec![other]).await, 1);
    assert_eq!(strict().await, all, "another user's event changes nothing");

    let next = vec![hours_ago(0, "now")];
    assert_eq!(cluster.record_at(port, next).await, 1);
    assert_eq!(strict().await, ["almost-a-day", "now"]);
    assert_eq!(
        items(&cluster, of_user("u")).await,
        ["almost-a-day", "now"],
        "what is dropped is gone for all"
    );
    // One that is too old already when it arrives is not kept at all.
    cluster.record_at(port, vec![hours_ago(48, "late")]).await;
    assert_eq!(strict().await, ["almost-a-day", "now"]);
}

#[tokio::test]
async fn of_many_events_the_latest_are_kept_whatever_order_they_arrive_in() {
    let cluster = start(&[("SCORER__STORAGE__MAX_EVENTS_PER_USER", "2")]).await;
    let events = vec![
        hours_ago(1, "third"),
        hours_ago(9, "first"),
        hours_ago(5, "second"),
    ];
    cluster.record(events).await;
    assert_eq!(items(&cluster, of_user("u")).await, ["second", "third"]);
    cluster.record(vec![hours_ago(0, "fourth")]).await;
    assert_eq!(items(&cluster, of_user("u")).await, ["third", "fourth"]);
    cluster.record(vec![hours_ago(8, "late")]).await;
    assert_eq!(items(&cluster, of_user("u")).await, ["third", "fourth"]);
}
