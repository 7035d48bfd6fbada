//! `HistoryService` through the real scorer: what each field does, and what it refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, Options, bad_fields, interaction};
use proto::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A cluster without models: histories need none.
async fn start(settings: &[(&str, &str)]) -> Cluster {
    let environment = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Cluster::start_with(Options {
        environment,
        without_worker: true,
    })
    .await
}

fn of_user(user: &str) -> pb::GetHistoryRequest {
    pb::GetHistoryRequest {
        user_id: user.to_owned(),
        ..Default::default()
    }
}

async fn items(cluster: &Cluster, request: pb::GetHistoryRequest) -> Vec<String> {
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

#[tokio::test]
async fn what_a_history_call_may_hold_is_bounded_and_refusals_name_the_field() {
    let cluster = start(&[]).await;
    let fields = |refused: Status| {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        bad_fields(&refused)
    };
    let (longest, too_long) = ("x".repeat(256), "x".repeat(257));
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
        assert_eq!(
            fields(cluster.histories().get_history(get).await.unwrap_err()),
            [field]
        );
        let delete = pb::DeleteUserRequest {
            user_id: user.to_owned(),
            catalog: catalog.to_owned(),
        };
        assert_eq!(
            fields(cluster.histories().delete_user(delete).await.unwrap_err()),
            [field]
        );
    }

    let refused = async |interactions: Vec<pb::Interaction>| {
        let request = pb::RecordInteractionsRequest {
            interactions,
            catalog: String::new(),
        };
        fields(
            cluster
                .histories()
                .record_interactions(request)
                .await
                .unwrap_err(),
        )
    };
    let good = interaction("u", "i", "e");
    let future = Some(proto::timestamp(i64::MAX / 2));
    for (bad, field) in [
        (interaction("", "i", ""), "interactions[1].user_id"),
        (interaction(&too_long, "i", ""), "interactions[1].user_id"),
        (interaction("u", "", ""), "interactions[1].item_id"),
        (interaction("u", &too_long, ""), "interactions[1].item_id"),
        (interaction("u", "i", &too_long), "interactions[1].event_id"),
        (
            pb::Interaction {
                time: future,
                ..good.clone()
            },
            "interactions[1].time",
        ),
    ] {
        assert_eq!(refused(vec![good.clone(), bad]).await, [field]);
    }
    assert_eq!(
        items(&cluster, of_user("u")).await,
        Vec::<String>::new(),
        "nothing of a refused call is kept"
    );
    assert_eq!(refused(Vec::new()).await, ["interactions"]);
    let many = |n: usize| {
        (0..n)
            .map(|number| interaction(&longest, &format!("i{number}"), ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(many(10_001)).await, ["interactions"]);
    assert_eq!(cluster.record(many(10_000)).await, 10_000);
    assert_eq!(items(&cluster, of_user(&longest)).await.len(), 10_000);
    assert_eq!(cluster.status().await.counters["failed.invalid"], 14);
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
