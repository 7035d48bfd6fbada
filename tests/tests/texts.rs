//! What the scorer makes of texts that came after training: what somebody looks
//! for, and items that nobody has trained on.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, bad_fields, ids, kinds, request};
use proto::pb;
use proto::pb::degradation::Kind;
use proto::pb::recommended_item::Source;
use tonic::Code;

/// `u0` has space games; this asks for something else.
fn asking_for(query: &str) -> pb::RecommendRequest {
    pb::RecommendRequest {
        query: query.into(),
        ..request("u0", 5)
    }
}

fn new_item(id: &str, title: &str, year: f64) -> pb::NewItem {
    let kind = prost_types::value::Kind::NumberValue(year);
    let year = prost_types::Value { kind: Some(kind) };
    pb::NewItem {
        item_id: id.into(),
        title: title.into(),
        attributes: Some(prost_types::Struct {
            fields: [("year".to_owned(), year)].into(),
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_query_brings_up_what_it_names_as_far_as_it_counts() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let own = cluster.recommend(request("u0", 5)).await;
    assert!(own.items.iter().all(|item| item.query_contribution == 0.0));
    let found = cluster.recommend(asking_for("Garden GAMES")).await;
    assert_eq!(kinds(&found), []);
    for item in &found.items {
        assert!(*item.item_id >= *"i10", "{item:?}");
        assert_eq!(item.source(), Source::Query);
        assert!(item.query_contribution > 0.0);
    }
    let ignored = pb::RecommendRequest {
        query_weight: Some(0.0),
        ..asking_for("garden")
    };
    let ignored = cluster.recommend(ignored).await;
    assert_eq!(ids(&ignored.items), ids(&own.items));
    let explained = pb::RecommendRequest {
        explain: true,
        ..asking_for("garden")
    };
    let explained = cluster.recommend(explained).await;
    assert!(explained.items.iter().all(|item| !item.reasons.is_empty()));

    // Somebody nobody knows, without a history: the query counts alone.
    let stranger = pb::RecommendRequest {
        user_id: String::new(),
        query_weight: Some(0.1),
        ..asking_for("part 13")
    };
    let stranger = cluster.recommend(stranger).await;
    assert_eq!(ids(&stranger.items)[0], "i13");
    assert_eq!(kinds(&stranger), [Kind::EmptyHistory]);

    let unknown = cluster.recommend(asking_for("xyzzy")).await;
    assert_eq!(kinds(&unknown), [Kind::UnknownWords]);
    assert_eq!(ids(&unknown.items), ids(&own.items));
}

#[tokio::test]
async fn a_query_that_cannot_be_used_is_refused_by_field() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let refused = async |request: pb::RecommendRequest| {
        let answer = cluster.recommendations().recommend(request).await;
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        bad_fields(&status)
    };
    assert_eq!(refused(asking_for(&"x".repeat(1_025))).await, ["query"]);
    for weight in [-0.1, 1.1, f64::NAN] {
        let request = pb::RecommendRequest {
            query_weight: Some(weight),
            ..asking_for("garden")
        };
        assert_eq!(refused(request).await, ["query_weight"]);
    }
    let without = pb::RecommendRequest {
        query_weight: Some(0.5),
        ..request("u0", 5)
    };
    assert_eq!(refused(without).await, ["query_weight"]);
    let twice = pb::RecommendRequest {
        new_items: vec![new_item("n", "a", 1.0), new_item("n", "b", 1.0)],
        ..request("u0", 5)
    };
    assert_eq!(refused(twice).await, ["new_items[1].item_id"]);
    let nameless = pb::RecommendRequest {
        new_items: vec![new_item("", "a", 1.0)],
        ..request("u0", 5)
    };
    assert_eq!(refused(nameless).await, ["new_items[0].item_id"]);
}

/// A cluster whose model is the one that was measured.
async fn with_measured_model() -> Cluster {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    cluster
        .train(&dataset, &["finetuning.final_fit=false"])
        .await;
    cluster.wait_until_ready().await;
    cluster
}

#[tokio::test]
async fn an_item_that_came_after_training_is_ranked_by_its_text() {
    let cluster = with_measured_model().await;
    let space = new_item("space-99", "A space & stars game", 2099.0);
    let garden = new_item("garden-99", "A garden game", 2099.0);
    let asked = pb::RecommendRequest {
        new_items: vec![space.clone(), garden.clone()],
        ..request("u0", 14)
    };
    let answer = cluster.recommend(asked.clone()).await;
    let place = |id: &str| {
        let mut items = answer.items.iter();
        items.position(|item| item.item_id == id).unwrap()
    };
    assert!(place("space-99") < place("garden-99"));
    assert!(
        place("space-99") < place("i13"),
        "before what they never took"
    );
    let item = &answer.items[place("space-99")];
    assert_eq!(item.source(), Source::ColdStart);
    assert_eq!(item.title, "A space & stars game");
    assert!(item.score.is_finite());

    // It is held to what a list may have.
    let filtered = pb::RecommendRequest {
        filter: "year > 2050".into(),
        excluded_item_ids: vec!["garden-99".into()],
        ..asked.clone()
    };
    let filtered = cluster.recommend(filtered).await;
    assert_eq!(ids(&filtered.items), ["space-99"]);
    let wanted = pb::RecommendRequest {
        query: "garden".into(),
        filter: "year > 2050".into(),
        ..asked.clone()
    };
    let wanted = cluster.recommend(wanted).await;
    assert_eq!(ids(&wanted.items), ["garden-99", "space-99"]);

    // The score is the same alone, and that of a known item its own.
    let known = new_item("i03", "A garden game", 2099.0);
    let wanted = pb::ScoreItemsRequest {
        user_id: "u0".into(),
        item_ids: vec!["i03".into(), "nothing".into()],
        new_items: vec![space, known],
        ..Default::default()
    };
    let mut client = cluster.recommendations();
    let scores = client.score_items(wanted).await.unwrap();
    let scores = scores.into_inner().scores;
    assert_eq!(scores.len(), 4);
    assert_eq!(scores[1].score, None);
    assert_eq!(scores[2].item_id, "space-99");
    let difference = scores[2].score.unwrap() - item.score;
    assert!(difference.abs() < 1e-5, "{difference}");
    assert_eq!(scores[3].score, scores[0].score);

    let unreadable = pb::RecommendRequest {
        new_items: vec![new_item("new", "Xyzzy", 1.0)],
        ..request("u0", 14)
    };
    let unreadable = cluster.recommend(unreadable).await;
    assert!(kinds(&unreadable).contains(&Kind::UnreadableItems));
    assert!(ids(&unreadable.items).contains(&"new"));
}

#[tokio::test]
async fn a_text_has_similar_items() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let about = |text: &str| pb::SimilarItemsRequest {
        text: text.into(),
        k: Some(8),
        filter: r#"id != "i15""#.into(),
        ..Default::default()
    };
    let mut client = cluster.recommendations();
    let found = client.similar_items(about("of plants in a garden")).await;
    let found = found.unwrap().into_inner();
    assert_eq!(found.items.len(), 8);
    assert!(ids(&found.items).iter().all(|id| *id >= "i10"));
    assert!(!ids(&found.items).contains(&"i15"));
    let nothing = client.similar_items(about("xyzzy")).await.unwrap();
    assert_eq!(nothing.into_inner().items, []);
    let both = pb::SimilarItemsRequest {
        item_id: "i03".into(),
        ..about("garden")
    };
    let status = client.similar_items(both).await.unwrap_err();
    assert_eq!(bad_fields(&status), ["text"]);
}

#[tokio::test]
async fn a_version_that_reads_no_texts_says_so() {
    let cluster = Cluster::start().await;
    let data = cluster.folder().join("two-groups");
    e2e::write_two_groups(&data);
    let dataset = cluster.import(&data);
    cluster.train(&dataset, &["reading.texts=none"]).await;
    cluster.wait_until_ready().await;
    let mut client = cluster.recommendations();
    let status = client.recommend(asking_for("garden")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("reading.texts"), "{status}");
    let new = pb::RecommendRequest {
        new_items: vec![new_item("new", "A garden game", 1.0)],
        ..request("u0", 5)
    };
    let status = client.recommend(new).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}
