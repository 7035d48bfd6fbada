//! What people look at who look after a shop: an item, the fields of a
//! catalogue, who has a history, what calls come in.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, bad_fields, http, interaction, request};
use proto::pb;
use tonic::Code;

fn item(id: &str) -> pb::GetItemRequest {
    pb::GetItemRequest {
        item_id: id.to_owned(),
        model: None,
    }
}

#[tokio::test]
async fn an_item_and_the_fields_of_its_catalogue_are_told() {
    let cluster = Cluster::start_with_model().await;
    let mut client = cluster.recommendations();
    let known = client.get_item(item("i03")).await.unwrap().into_inner();
    assert_eq!(known.title, "A space & stars game, part 3");
    assert_eq!(known.categories, ["Games", "Space"]);
    // Thirty users have eight of ten items each.
    assert_eq!(known.n_users, Some(24));
    let year = &known.attributes.unwrap().fields["year"];
    let year = year.kind.clone().unwrap();
    assert_eq!(year, prost_types::value::Kind::NumberValue(2003.0));
    let over_http = http(cluster.scorer_port(), "GET /v1/items/i03", "", "");
    let over_http = over_http.await.json();
    assert_eq!(over_http["title"], "A space & stars game, part 3");
    assert_eq!(over_http["attributes"]["year"], 2003.0);

    let unknown = client.get_item(item("nothing")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    let nameless = client.get_item(item("")).await.unwrap_err();
    assert_eq!(bad_fields(&nameless), ["item_id"]);

    let fields = client.list_fields(pb::ListFieldsRequest::default()).await;
    let fields = fields.unwrap().into_inner();
    assert_eq!(fields.model_version, known.model_version);
    let told: Vec<_> = fields
        .fields
        .iter()
        .map(|field| (&*field.name, &*field.kind, field.n_items))
        .collect();
    let expected = [
        ("id", "text", 20),
        ("title", "text", 20),
        ("category", "text", 20),
        ("categories", "a list", 20),
        ("year", "a whole number", 20),
    ];
    assert_eq!(told, expected);
    let values = &fields.fields[2].values;
    assert_eq!(values.join(" "), r#""Garden" "Space""#);
    // What is told can be asked for.
    let filter = format!("category == {}", values[1]);
    let asked = pb::RecommendRequest {
        filter,
        ..request("u1", 3)
    };
    let answer = cluster.recommend(asked).await;
    assert!(answer.items.iter().all(|item| *item.item_id < *"i10"));
}

#[tokio::test]
async fn calls_of_the_last_minute_and_the_canarys_share_are_told() {
    let cluster = Cluster::start_with_model().await;
    for _ in 0..20 {
        cluster.recommend(request("u1", 3)).await;
    }
    let mut client = cluster.recommendations();
    for _ in 0..5 {
        client.recommend(request("u1", 0)).await.unwrap_err();
    }
    let status = cluster.status().await;
    assert!((status.canary_share - 0.05).abs() < 1e-9);
    let calls = status.traffic.iter().find(|it| it.method == "Recommend");
    let calls = calls.unwrap();
    // Five of 25 failed.
    assert!((calls.failed - 0.2).abs() < 1e-9, "{calls:?}");
    assert!(calls.per_second > 0.0 && calls.per_second <= 25.0);
    assert!(calls.median_ms > 0.0 && calls.median_ms <= calls.p99_ms);
    let unasked = status.traffic.iter().find(|it| it.method == "GetItem");
    assert_eq!(unasked, None);
}

#[tokio::test]
async fn users_with_a_history_are_listed_by_the_beginning_of_their_id() {
    let cluster = Cluster::start_without_worker().await;
    let mut interactions = Vec::new();
    for user in ["ann", "anton", "bob", "a*b"] {
        interactions.push(interaction(user, "i", ""));
    }
    cluster.record(interactions).await;
    let listed = async |prefix: &str| {
        let asked = pb::ListUsersRequest {
            prefix: prefix.to_owned(),
            ..Default::default()
        };
        let listed = cluster.histories().list_users(asked).await.unwrap();
        let listed = listed.into_inner();
        assert_eq!(listed.next_page_token, "");
        let mut users = listed.user_ids;
        users.sort_unstable();
        users
    };
    assert_eq!(listed("").await, ["a*b", "ann", "anton", "bob"]);
    assert_eq!(listed("an").await, ["ann", "anton"]);
    assert_eq!(listed("a*").await, ["a*b"]);
    let none: [&str; 0] = [];
    assert_eq!(listed("c").await, none);
    let asked = pb::ListUsersRequest {
        page_size: 1_001,
        prefix: "x".repeat(301),
        ..Default::default()
    };
    let refused = cluster.histories().list_users(asked).await.unwrap_err();
    assert_eq!(bad_fields(&refused), ["page_size", "prefix"]);
}
