//! `Recommend` and histories through the real services.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use e2e::{
    Cluster, PATIENT, bad_fields, eventually, ids, inline, interaction, kinds,
    request, within,
};
use proto::pb;
use proto::pb::degradation::Kind;

#[tokio::test]
async fn seen_and_excluded_items_never_appear() {
    let cluster = Cluster::start_with_model().await;
    let answer = cluster.recommend(request("u0", 20)).await;
    // 20 items, of which u0 has i00 to i06 (train and valid) in the history.
    assert_eq!(answer.items.len(), 13);
    assert!(
        ids(&answer.items)
            .iter()
            .all(|id| !("i00"..="i06").contains(id))
    );
    assert_eq!(
        (answer.history_length, kinds(&answer)),
        (7, vec![Kind::FewerThanAsked])
    );
    let ranks: Vec<u32> = answer.items.iter().map(|item| item.rank).collect();
    assert_eq!(ranks, (1..=13).collect::<Vec<_>>());
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));

    let excluded: Vec<String> = ids(&answer.items)[..3]
        .iter()
        .map(|id| (*id).to_owned())
        .collect();
    let without = cluster
        .recommend(pb::RecommendRequest {
            excluded_item_ids: excluded,
            ..request("u0", 5)
        })
        .await;
    assert_eq!(ids(&without.items), ids(&answer.items)[3..8]);

    assert_eq!(
        cluster
            .record(vec![interaction("u0", ids(&answer.items)[0], "e1")])
            .await,
        1
    );
    let after = cluster.recommend(request("u0", 20)).await;
    assert!(
        !ids(&after.items).contains(&ids(&answer.items)[0]),
        "what was just recorded is seen"
    );
    let all = pb::RecommendRequest {
        exclude_seen: Some(false),
        ..request("u0", 20)
    };
    assert_eq!(cluster.recommend(all).await.items.len(), 20);
}

#[tokio::test]
async fn a_hybrid_says_which_of_its_models_an_item_comes_from() {
    use proto::pb::recommended_item::Source;
    let cluster = Cluster::start_with_model().await;
    let version = cluster
        .models()
        .list_model_versions(pb::ListModelVersionsRequest::default())
        .await
        .unwrap();
    let is_hybrid =
        version.into_inner().model_versions[0].metrics["hybrid_weight"] > 0.0;
    let answer = cluster.recommend(request("u0", 13)).await;
    let sources: Vec<Source> = answer
        .items
        .iter()
        .map(pb::RecommendedItem::source)
        .collect();
    assert!(is_hybrid, "the test model is one");
    assert!(!sources.contains(&Source::Unspecified));
    assert!(
        sources.iter().any(|source| *source != Source::Model),
        "{sources:?}"
    );
    // Where there is nothing to go by, it is what most others took.
    let nobody = cluster.recommend(request("nobody", 5)).await;
    assert!(
        nobody
            .items
            .iter()
            .all(|item| item.source() == Source::Popularity)
    );
}

#[tokio::test]
async fn who_and_what_is_unknown_is_served_and_said() {
    let cluster = Cluster::start_with_model().await;
    let nobody = cluster.recommend(request("nobody", 5)).await;
    assert_eq!(
        (nobody.items.len(), kinds(&nobody)),
        (5, vec![Kind::UnknownUser, Kind::EmptyHistory])
    );

    let history = inline(&["i10", "never-heard-of", "i12"]);
    let stranger = cluster
        .recommend(pb::RecommendRequest {
            history,
            ..request("", 2)
        })
        .await;
    assert_eq!(
        (stranger.history_length, kinds(&stranger)),
        (2, vec![Kind::UnknownItems])
    );
    assert!(
        stranger
            .items
            .iter()
            .all(|item| item.item_id.starts_with("i1")),
        "{:?}",
        ids(&stranger.items)
    );

    let many = cluster.recommend(request("u1", 1_000)).await;
    assert_eq!(
        (many.items.len(), kinds(&many)),
        (13, vec![Kind::FewerThanAsked])
    );

    assert_eq!(cluster.record(vec![interaction("new", "i03", "")]).await, 1);
    let new = cluster.recommend(request("new", 3)).await;
    assert_eq!(
        (new.history_length, kinds(&new)),
        (1, vec![Kind::UnknownUser])
    );
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_its_field() {
    let cluster = Cluster::start_with_model().await;
    let refused = async |request: pb::RecommendRequest| {
        let status = cluster
            .recommendations()
            .recommend(request)
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
        bad_fields(&status)
    };
    assert_eq!(refused(pb::RecommendRequest::default()).await, ["user_id"]);
    assert_eq!(refused(request("u0", 0)).await, ["k"]);
    assert_eq!(refused(request("u0", 1_001)).await, ["k"]);
    assert_eq!(refused(request(&"x".repeat(257), 1)).await, ["user_id"]);
    let history = inline(&["a", ""]);
    assert_eq!(
        refused(pb::RecommendRequest {
            history,
            ..request("", 1)
        })
        .await,
        ["history[1].item_id"]
    );
    let model =
        Some(pb::recommend_request::Model::ModelVersion("v1".to_owned()));
    assert_eq!(
        refused(pb::RecommendRequest {
            model,
            ..request("u0", 1)
        })
        .await,
        ["model_version"]
    );

    use pb::recommend_request::Model::{Label, ModelVersion};
    for model in [
        Label("none".to_owned()),
        ModelVersion("modelVersions/0123456789abcdef".to_owned()),
    ] {
        let unknown = pb::RecommendRequest {
            model: Some(model),
            ..request("u0", 1)
        };
        let status = cluster
            .recommendations()
            .recommend(unknown)
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
    }
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_a_late_event_does_not_bring_a_deleted_user_back()
 {
    let cluster = Cluster::start_with_model().await;
    let at = |seconds: i64, event: &str| pb::Interaction {
        time: Some(proto::timestamp(seconds * 1_000)),
        ..interaction("u2", "i15", event)
    };
    assert_eq!(
        cluster.record(vec![at(1_000, "e1"), at(1_000, "e1")]).await,
        1
    );
    assert_eq!(cluster.record(vec![at(1_000, "e1")]).await, 0);
    cluster.recommend(request("u2", 3)).await;
    eventually(
        "the user's state is cached",
        Duration::from_secs(10),
        async || {
            (!cluster
                .cache
                .command(&["KEYS", "*states*"])
                .trim()
                .is_empty())
            .then_some(())
        },
    )
    .await;

    let delete = pb::DeleteUserRequest {
        user_id: "u2".to_owned(),
        catalog: String::new(),
    };
    cluster.histories().delete_user(delete).await.unwrap();
    // What may stay belongs to a history, whoever has it: its key names no
    // user.
    let states = cluster.cache.command(&["KEYS", "*states*"]);
    assert!(
        states.lines().all(|key| key.is_empty()
            || key.contains(":none:")
            || key.contains(":mean:")),
        "caches forget too: {states}"
    );
    assert_eq!(cluster.record(vec![at(2_000, "late")]).await, 0);
    let show = pb::GetHistoryRequest {
        user_id: "u2".to_owned(),
        ..Default::default()
    };
    let history = cluster
        .histories()
        .get_history(show)
        .await
        .unwrap()
        .into_inner();
    assert!(history.interactions.is_empty() && history.deleted);
    let answer = cluster.recommend(request("u2", 3)).await;
    assert_eq!(
        kinds(&answer),
        [Kind::UnknownUser, Kind::EmptyHistory],
        "the row of a deleted user is not used"
    );
}

#[tokio::test]
async fn a_request_alone_and_in_company_gets_the_same_answer() {
    let cluster = Cluster::start_with_model().await;
    let lonely = |user: usize| pb::RecommendRequest {
        history: inline(&["i01", "i12", "i05"][..1 + user % 3]),
        ..request(&format!("u{user}"), 10)
    };
    let mut alone = Vec::new();
    for user in 0..30 {
        alone.push(cluster.recommend(lonely(user)).await);
    }
    // A replica that shares no cache computes all of them anew, together.
    cluster.cache.command(&["FLUSHALL"]);
    // With room for all of them on any number of cores: how many are let in is
    // the gate's own test.
    let (_other, port) =
        cluster.start_scorer(&[("SCORER__MAX_RUNNING", "64")]).await;
    let mut company = tokio::task::JoinSet::new();
    for user in 0..30 {
        let (mut client, request) =
            (cluster.recommendations_at(port), lonely(user));
        company.spawn(async move {
            (
                user,
                client
                    .recommend(within(PATIENT, request))
                    .await
                    .unwrap()
                    .into_inner(),
            )
        });
    }
    while let Some(answered) = company.join_next().await {
        let (user, answer) = answered.unwrap();
        assert_eq!(ids(&answer.items), ids(&alone[user].items));
        for (one, other) in answer.items.iter().zip(&alone[user].items) {
            assert!(
                (one.score - other.score).abs()
                    <= 1e-5 * other.score.abs().max(1.0),
                "{one:?} {other:?}"
            );
        }
    }
}
