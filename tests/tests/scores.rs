//! `ScoreItems` and `SimilarItems` through the real scorer.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, bad_fields, ids, inline, request};
use proto::pb;
use proto::pb::score_items_response::ItemScore;
use tonic::{Code, Status};

async fn scores(
    cluster: &Cluster,
    request: pb::ScoreItemsRequest,
) -> Result<Vec<ItemScore>, Status> {
    let answer = cluster.recommendations().score_items(request).await?;
    Ok(answer.into_inner().scores)
}

fn of_user_0(item_ids: &[String]) -> pb::ScoreItemsRequest {
    pb::ScoreItemsRequest {
        user_id: "u0".into(),
        item_ids: item_ids.to_vec(),
        ..Default::default()
    }
}

#[tokio::test]
async fn items_are_scored_as_they_are_ranked() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let ranked = cluster.recommend(request("u0", 13)).await;
    let best_last = ids(&ranked.items).into_iter().rev();
    let mut item_ids: Vec<String> = best_last.map(str::to_owned).collect();
    item_ids.push("never-heard-of".to_owned());
    let scores = scores(&cluster, of_user_0(&item_ids)).await.unwrap();
    let scored: Vec<&String> =
        scores.iter().map(|score| &score.item_id).collect();
    assert_eq!(scored, item_ids.iter().collect::<Vec<_>>());
    for (score, item) in scores.iter().zip(ranked.items.iter().rev()) {
        assert!((score.score.unwrap() - item.score).abs() < 1e-6);
    }
    assert_eq!(scores.last().unwrap().score, None);
}

#[tokio::test]
async fn items_are_scored_by_the_history_that_comes_with_the_request() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let by_inline = pb::RecommendRequest {
        history: inline(&["i12"]),
        ..request("u0", 3)
    };
    let ranked = cluster.recommend(by_inline).await;
    let item_ids = ids(&ranked.items).into_iter().map(str::to_owned);
    let asked = pb::ScoreItemsRequest {
        history: inline(&["i12"]),
        ..of_user_0(&item_ids.collect::<Vec<_>>())
    };
    let scores = scores(&cluster, asked).await.unwrap();
    assert_eq!(scores.len(), ranked.items.len());
    for (score, item) in scores.iter().zip(&ranked.items) {
        assert!((score.score.unwrap() - item.score).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_request_to_score_nothing_is_refused() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let refused = scores(&cluster, of_user_0(&[])).await.unwrap_err();
    assert_eq!(bad_fields(&refused), ["item_ids"]);
}

#[tokio::test]
async fn similar_items_are_of_the_same_group() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let similar = |item: &str, filter: &str| pb::SimilarItemsRequest {
        item_id: item.into(),
        k: Some(5),
        filter: filter.into(),
        ..Default::default()
    };
    let answer = cluster
        .recommendations()
        .similar_items(similar("i03", ""))
        .await
        .unwrap()
        .into_inner();
    let of_group = ids(&answer.items).iter().filter(|id| **id < "i10").count();
    assert!(
        of_group >= 4 && !ids(&answer.items).contains(&"i03"),
        "{:?}",
        ids(&answer.items)
    );
    assert!(answer.items.iter().all(|item| item.score <= 1.0 + 1e-6));
    let gardens = similar("i03", r#"category == "Garden""#);
    let gardens = cluster
        .recommendations()
        .similar_items(gardens)
        .await
        .unwrap()
        .into_inner();
    assert!(ids(&gardens.items).iter().all(|id| *id >= "i10"));
    let unknown = cluster
        .recommendations()
        .similar_items(similar("nothing", ""))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}
