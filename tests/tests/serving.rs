//! `Recommend` and histories through the real services.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{Cluster, bad_fields};
use proto::pb;
use proto::pb::degradation::Kind;

fn request(user: &str, k: u32) -> pb::RecommendRequest {
    pb::RecommendRequest { user_id: user.to_owned(), k: Some(k), ..Default::default() }
}

fn inline(items: &[&str]) -> Vec<pb::InlineInteraction> {
    items.iter().map(|item| pb::InlineInteraction { item_id: (*item).to_owned(), time: None }).collect()
}

fn ids(answer: &pb::RecommendResponse) -> Vec<&str> {
    answer.items.iter().map(|item| item.item_id.as_str()).collect()
}

fn kinds(answer: &pb::RecommendResponse) -> Vec<Kind> {
    answer.degradations.iter().map(pb::Degradation::kind).collect()
}

async fn recommend(cluster: &Cluster, request: pb::RecommendRequest) -> pb::RecommendResponse {
    cluster.recommendations().recommend(request).await.unwrap().into_inner()
}

fn interaction(user: &str, item: &str, event: &str) -> pb::Interaction {
    pb::Interaction { user_id: user.into(), item_id: item.into(), time: None, event_id: event.into() }
}

async fn record(cluster: &Cluster, interactions: Vec<pb::Interaction>) -> u32 {
    let request = pb::RecordInteractionsRequest { interactions, catalog: String::new() };
    cluster.histories().record_interactions(request).await.unwrap().into_inner().n_recorded
}

#[tokio::test]
async fn seen_and_excluded_items_never_appear() {
    let cluster = Cluster::start_with_model().await;
    let answer = recommend(&cluster, request("u0", 20)).await;
    // 20 items, of which u0 has i00 to i06 (train and valid) in the history.
    assert_eq!(answer.items.len(), 13);
    assert!(ids(&answer).iter().all(|id| !("i00"..="i06").contains(id)));
    assert_eq!((answer.history_length, kinds(&answer)), (7, vec![Kind::FewerThanAsked]));
    let ranks: Vec<u32> = answer.items.iter().map(|item| item.rank).collect();
    assert_eq!(ranks, (1..=13).collect::<Vec<_>>());
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));

    let excluded: Vec<String> = ids(&answer)[..3].iter().map(|id| (*id).to_owned()).collect();
    let without = recommend(&cluster, pb::RecommendRequest { excluded_item_ids: excluded, ..request("u0", 5) }).await;
    assert_eq!(ids(&without), ids(&answer)[3..8]);

    assert_eq!(record(&cluster, vec![interaction("u0", ids(&answer)[0], "e1")]).await, 1);
    let after = recommend(&cluster, request("u0", 20)).await;
    assert!(!ids(&after).contains(&ids(&answer)[0]), "what was just recorded is seen");
    let all = pb::RecommendRequest { exclude_seen: Some(false), ..request("u0", 20) };
    assert_eq!(recommend(&cluster, all).await.items.len(), 20);
}

#[tokio::test]
async fn a_hybrid_says_which_of_its_models_an_item_comes_from() {
    use proto::pb::recommended_item::Source;
    let cluster = Cluster::start_with_model().await;
    let version = cluster.models().list_model_versions(pb::ListModelVersionsRequest::default()).await.unwrap();
    let is_hybrid = version.into_inner().model_versions[0].metrics["hybrid_weight"] > 0.0;
    let answer = recommend(&cluster, request("u0", 13)).await;
    let sources: Vec<Source> = answer.items.iter().map(pb::RecommendedItem::source).collect();
    assert!(is_hybrid, "the test model is one");
    assert!(!sources.contains(&Source::Unspecified));
    assert!(sources.iter().any(|source| *source != Source::Model), "{sources:?}");
    // Where there is nothing to go by, it is what most others took.
    let nobody = recommend(&cluster, request("nobody", 5)).await;
    assert!(nobody.items.iter().all(|item| item.source() == Source::Popularity));
}

#[tokio::test]
async fn who_and_what_is_unknown_is_served_and_said() {
    let cluster = Cluster::start_with_model().await;
    let nobody = recommend(&cluster, request("nobody", 5)).await;
    assert_eq!((nobody.items.len(), kinds(&nobody)), (5, vec![Kind::UnknownUser, Kind::EmptyHistory]));

    let history = inline(&["i10", "never-heard-of", "i12"]);
    let stranger = recommend(&cluster, pb::RecommendRequest { history, ..request("", 2) }).await;
    assert_eq!((stranger.history_length, kinds(&stranger)), (2, vec![Kind::UnknownItems]));
    assert!(stranger.items.iter().all(|item| item.item_id.starts_with("i1")), "{:?}", ids(&stranger));

    let many = recommend(&cluster, request("u1", 1_000)).await;
    assert_eq!((many.items.len(), kinds(&many)), (13, vec![Kind::FewerThanAsked]));

    // The tiny backbone has 32 positions: 24 items fit, and only the latest 20 distinct ones exist.
    assert_eq!(record(&cluster, vec![interaction("new", "i03", "")]).await, 1);
    let new = recommend(&cluster, request("new", 3)).await;
    assert_eq!((new.history_length, kinds(&new)), (1, vec![Kind::UnknownUser]));
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_its_field() {
    let cluster = Cluster::start_with_model().await;
    let refused = async |request: pb::RecommendRequest| {
        let status = cluster.recommendations().recommend(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
        bad_fields(&status)
    };
    assert_eq!(refused(pb::RecommendRequest::default()).await, ["user_id"]);
    assert_eq!(refused(request("u0", 0)).await, ["k"]);
    assert_eq!(refused(request("u0", 1_001)).await, ["k"]);
    assert_eq!(refused(request(&"x".repeat(257), 1)).await, ["user_id"]);
    let history = inline(&["a", ""]);
    assert_eq!(refused(pb::RecommendRequest { history, ..request("", 1) }).await, ["history[1].item_id"]);
    let model = Some(pb::recommend_request::Model::ModelVersion("v1".to_owned()));
    assert_eq!(refused(pb::RecommendRequest { model, ..request("u0", 1) }).await, ["model_version"]);

    let model = Some(pb::recommend_request::Model::Label("none".to_owned()));
    let unknown = cluster.recommendations().recommend(pb::RecommendRequest { model, ..request("u0", 1) }).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
    let nothing = pb::RecordInteractionsRequest::default();
    let status = cluster.histories().record_interactions(nothing).await.unwrap_err();
    assert_eq!(bad_fields(&status), ["interactions"]);
    let nameless = pb::RecordInteractionsRequest { interactions: vec![interaction("u", "", "")], ..Default::default() };
    let status = cluster.histories().record_interactions(nameless).await.unwrap_err();
    assert_eq!(bad_fields(&status), ["interactions[0].item_id"]);
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_a_late_event_does_not_bring_a_deleted_user_back() {
    let cluster = Cluster::start_with_model().await;
    let at = |seconds: i64, event: &str| pb::Interaction {
        time: Some(proto::timestamp(seconds * 1_000)),
        ..interaction("u2", "i15", event)
    };
    assert_eq!(record(&cluster, vec![at(1_000, "e1"), at(1_000, "e1")]).await, 1);
    assert_eq!(record(&cluster, vec![at(1_000, "e1")]).await, 0);
    recommend(&cluster, request("u2", 3)).await;
    assert!(!cluster.cache.command(&["KEYS", "*states*"]).trim().is_empty(), "the user's state is cached");

    let delete = pb::DeleteUserRequest { user_id: "u2".to_owned(), catalog: String::new() };
    cluster.histories().delete_user(delete).await.unwrap();
    // What may stay belongs to a history, whoever has it: its key names no user.
    let states = cluster.cache.command(&["KEYS", "*states*"]);
    assert!(
        states.lines().all(|key| key.is_empty() || key.contains(":none:") || key.contains(":mean:")),
        "caches forget too: {states}"
    );
    assert_eq!(record(&cluster, vec![at(2_000, "late")]).await, 0);
    let show = pb::GetHistoryRequest { user_id: "u2".to_owned(), ..Default::default() };
    let history = cluster.histories().get_history(show).await.unwrap().into_inner();
    assert!(history.interactions.is_empty() && history.deleted);
    let answer = recommend(&cluster, request("u2", 3)).await;
    assert_eq!(kinds(&answer), [Kind::UnknownUser, Kind::EmptyHistory], "the row of a deleted user is not used");
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
        alone.push(recommend(&cluster, lonely(user)).await);
    }
    // A replica that shares no cache computes all of them anew, together.
    cluster.cache.command(&["FLUSHALL"]);
    // With room for all of them on any number of cores: how many are let in is the gate's own test.
    let (_other, port) = cluster.start_scorer_with(&[("SCORER__MAX_RUNNING", "64")]);
    cluster.wait_until_ready_at(port).await;
    let mut company = tokio::task::JoinSet::new();
    for user in 0..30 {
        let (mut client, request) = (cluster.recommendations_at(port), lonely(user));
        company.spawn(async move { (user, client.recommend(request).await.unwrap().into_inner()) });
    }
    while let Some(answered) = company.join_next().await {
        let (user, answer) = answered.unwrap();
        assert_eq!(ids(&answer), ids(&alone[user]));
        for (one, other) in answer.items.iter().zip(&alone[user].items) {
            assert!((one.score - other.score).abs() <= 1e-5 * other.score.abs().max(1.0), "{one:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn a_second_version_goes_live_while_requests_run_and_none_fails() {
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    let first = recommend(&cluster, request("u0", 1)).await.model_version;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, mut client) = (stop.clone(), cluster.recommendations());
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(async move {
        let mut versions = HashSet::new();
        let mut n = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let user = format!("u{}", n % 60);
            versions.insert(client.recommend(request(&user, 5)).await.unwrap().into_inner().model_version);
            n += 1;
        }
        (versions, n)
    });
    let second = cluster.train(&dataset, &["seed=9"]).await.model_version;
    assert_ne!(first, second);
    e2e::eventually("the second version serves", std::time::Duration::from_secs(10), async || {
        (recommend(&cluster, request("u0", 1)).await.model_version == second).then_some(())
    })
    .await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (versions, n) = asking.join_next().await.unwrap().unwrap();
    assert!(n > 10 && versions.contains(&first), "{n} requests, {versions:?}");

    let old = Some(pb::recommend_request::Model::ModelVersion(first.clone()));
    let pinned = recommend(&cluster, pb::RecommendRequest { model: old, ..request("u0", 1) }).await;
    assert_eq!(pinned.model_version, first, "a request may still name the first one");
    let live = pb::DeleteModelVersionRequest { name: second };
    assert_eq!(cluster.models().delete_model_version(live).await.unwrap_err().code(), tonic::Code::FailedPrecondition);
    cluster.models().delete_model_version(pb::DeleteModelVersionRequest { name: first }).await.unwrap();
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_takes_no_label_and_a_label_moves_back_within_two_seconds() {
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    let live = recommend(&cluster, request("u0", 1)).await.model_version;
    let train = async |seed: &str| cluster.train(&dataset, &[seed, "labels=[\"other\"]"]).await.model_version;
    let (damaged, good) = (train("seed=1").await, train("seed=2").await);
    let id = damaged.trim_start_matches("modelVersions/").to_owned();
    let folder = cluster.artifacts().join("models").join(id);
    let tables = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let largest = tables.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    // A replica that has not read it yet.
    let (_scorer, port) = cluster.start_scorer();
    cluster.wait_until_ready_at(port).await;
    let set_live = async |version: &String| {
        let request = pb::SetLabelRequest { label: "live".into(), model_version: version.clone() };
        cluster.models().set_label(request).await.unwrap();
    };
    let served = async || {
        let answer = cluster.recommendations_at(port).recommend(request("u0", 1)).await.unwrap();
        answer.into_inner().model_version
    };
    set_live(&damaged).await;
    let status = e2e::eventually("the scorer says why", Duration::from_secs(20), async || {
        let status = cluster.status_at(port).await;
        let is_told = status.unloadable.contains_key(&damaged) && status.counters.contains_key("label.not_moved");
        is_told.then_some(status)
    })
    .await;
    assert!(status.unloadable[&damaged].contains("damaged"), "{:?}", status.unloadable);
    assert_eq!(status.counters["label.not_moved"], 1, "it is left alone for a while");
    assert_eq!(served().await, live);

    let mut times = Vec::new();
    for version in [&good, &live, &good, &live] {
        set_live(version).await;
        let moved = Instant::now();
        e2e::eventually("the label moves", Duration::from_secs(20), async || {
            (served().await == *version).then_some(())
        })
        .await;
        times.push(moved.elapsed());
    }
    // Other tests may hold the cores for a moment.
    assert!(times.iter().any(|time| *time < Duration::from_secs(2)), "{times:?}");
}
