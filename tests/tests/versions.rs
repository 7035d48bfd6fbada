//! Several model versions in one scorer: labels that move, versions that cannot
//! be loaded, bounds on memory.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use e2e::{
    Cluster, Options, eventually, flip_a_bit, largest_file, median, request,
    within,
};
use proto::pb;
use proto::pb::unloadable_version::Cause;
use tonic::{Code, Request, Status};

/// Long enough for a label to move on a busy machine.
const MOVE_TIME: Duration = Duration::from_secs(20);

/// Waits until the scorer has moved labels to versions.
async fn have_moved(cluster: &Cluster, labels: &[(&str, &str)]) {
    eventually("the labels move", MOVE_TIME, async || {
        let versions = cluster.status().await.versions;
        let has_moved = |&(label, version): &(&str, &str)| {
            versions.iter().any(|of| {
                of.model_version == version
                    && of.labels.iter().any(|other| other == label)
            })
        };
        labels.iter().all(has_moved).then_some(())
    })
    .await;
}

/// Waits until the scorer has moved the label `live` to a version.
async fn is_live(cluster: &Cluster, version: &str) {
    have_moved(cluster, &[("live", version)]).await;
}

/// A request to one version, which waits while it is loaded.
fn pinned(version: &str) -> Request<pb::RecommendRequest> {
    let model = pb::recommend_request::Model::ModelVersion(version.to_owned());
    within(
        MOVE_TIME,
        pb::RecommendRequest {
            model: Some(model),
            ..request("u0", 5)
        },
    )
}

/// The versions in memory.
async fn loaded(cluster: &Cluster) -> HashSet<String> {
    cluster
        .status()
        .await
        .versions
        .into_iter()
        .map(|version| version.model_version)
        .collect()
}

#[tokio::test]
async fn a_second_version_goes_live_while_requests_run_and_none_fails() {
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    let first = cluster.recommend(request("u0", 1)).await.model_version;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, mut client) = (stop.clone(), cluster.recommendations());
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(async move {
        let mut versions = HashSet::new();
        let mut n = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let user = format!("u{}", n % 60);
            versions.insert(
                client
                    .recommend(request(&user, 5))
                    .await
                    .unwrap()
                    .into_inner()
                    .model_version,
            );
            n += 1;
        }
        (versions, n)
    });
    let second = cluster.train(&dataset, &["seed=9"]).await.model_version;
    assert_ne!(first, second);
    eventually("the second version serves", MOVE_TIME, async || {
        (cluster.recommend(request("u0", 1)).await.model_version == second)
            .then_some(())
    })
    .await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (versions, n) = asking.join_next().await.unwrap().unwrap();
    assert!(
        n > 10 && versions.contains(&first),
        "{n} requests, {versions:?}"
    );

    let old = cluster
        .recommendations()
        .recommend(pinned(&first))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        old.model_version, first,
        "a request may still name the first one"
    );
    let refused = delete(&cluster, second).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "it is live");
    delete(&cluster, first).await.unwrap();
}

async fn delete(cluster: &Cluster, version: String) -> Result<(), Status> {
    let request = pb::DeleteModelVersionRequest { name: version };
    let mut models = cluster.models();
    models.delete_model_version(request).await.map(drop)
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_takes_no_label_and_a_label_moves_back_within_two_seconds()
 {
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    let live = cluster.recommend(request("u0", 1)).await.model_version;
    let train = async |seed: &str| {
        cluster
            .train(&dataset, &[seed, "labels=[\"other\"]"])
            .await
            .model_version
    };
    let (damaged, good) = (train("seed=1").await, train("seed=2").await);
    let id = damaged.trim_start_matches("modelVersions/").to_owned();
    let folder = cluster.artifacts().join("models").join(id);
    flip_a_bit(&largest_file(&folder));
    // A replica that has not read it yet.
    let (_scorer, port) = cluster.start_scorer(&[]).await;
    let served = async || {
        let answer = cluster
            .recommendations_at(port)
            .recommend(request("u0", 1))
            .await
            .unwrap();
        answer.into_inner().model_version
    };
    cluster.set_label("live", &damaged).await;
    let status = eventually("the scorer says why", MOVE_TIME, async || {
        let status = cluster.status_at(port).await;
        let is_told = !status.unloadable.is_empty()
            && status.counters.contains_key("label.not_moved");
        is_told.then_some(status)
    })
    .await;
    let [unloadable] = &*status.unloadable else {
        panic!("{:?}", status.unloadable)
    };
    assert_eq!(
        (&unloadable.model_version, unloadable.cause()),
        (&damaged, Cause::Damaged)
    );
    assert!(unloadable.message.contains("damaged"), "{unloadable:?}");
    let refused = cluster
        .recommendations_at(port)
        .recommend(pinned(&damaged))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    assert_eq!(
        status.counters["label.not_moved"], 1,
        "it is left alone for a while"
    );
    assert_eq!(served().await, live);

    let mut times = Vec::new();
    for version in [&good, &live, &good, &live, &good] {
        cluster.set_label("live", version).await;
        let moved = Instant::now();
        eventually("the label moves", MOVE_TIME, async || {
            (served().await == *version).then_some(())
        })
        .await;
        times.push(moved.elapsed());
    }
    // Other tests may hold the cores for a moment.
    assert!(median(&times) < Duration::from_secs(2), "{times:?}");
}

#[tokio::test]
async fn the_users_of_the_last_hour_find_their_states_ready_when_a_label_moves()
{
    let cluster = Cluster::start_with_model().await;
    let dataset = cluster.import_two_groups();
    assert!(!cluster.recommend(request("u0", 5)).await.cached);
    let second = cluster.train(&dataset, &["seed=9"]).await.model_version;
    is_live(&cluster, &second).await;
    let known = cluster.recommend(request("u0", 5)).await;
    assert_eq!((&known.model_version, known.cached), (&second, true));
    assert!(
        !cluster.recommend(request("u1", 5)).await.cached,
        "nobody had asked for this one"
    );
}

#[tokio::test]
async fn the_version_that_was_asked_for_longest_ago_makes_room_and_labelled_ones_stay()
 {
    let two = Options::settings(&[("SCORER__MAX_MODELS", "2")]);
    let cluster = Cluster::start_with(two).await;
    let dataset = cluster.import_two_groups();
    let mut versions = Vec::new();
    for seed in ["seed=1", "seed=2", "seed=3"] {
        versions.push(cluster.train(&dataset, &[seed]).await.model_version);
        is_live(&cluster, &versions[versions.len() - 1]).await;
    }
    let [first, second, third] = &*versions else {
        panic!("{versions:?}")
    };
    let pair = |one: &String, other: &String| {
        HashSet::from([one.clone(), other.clone()])
    };
    assert_eq!(loaded(&cluster).await, pair(second, third));
    let answered = async |version: &str| {
        cluster
            .recommendations()
            .recommend(pinned(version))
            .await
            .unwrap()
            .into_inner()
            .model_version
    };
    assert_eq!(answered(first).await, *first);
    assert_eq!(
        loaded(&cluster).await,
        pair(first, third),
        "the live one stays"
    );
    eventually(
        "a load goes on when the request has no time for it",
        MOVE_TIME,
        async || {
            let mut hasty = pinned(second);
            hasty.set_timeout(Duration::from_millis(20));
            drop(cluster.recommendations().recommend(hasty).await);
            (loaded(&cluster).await == pair(second, third)).then_some(())
        },
    )
    .await;
    assert_eq!(answered(second).await, *second);
}

#[tokio::test]
async fn a_version_that_does_not_fit_into_the_memory_takes_no_label_and_one_of_the_same_backbone_does()
 {
    // A backbone's files of 32 wide have 6.5 MB, of 64 wide 13.
    let small = Options::settings(&[("SCORER__MODEL_MEMORY_MB", "8")]);
    let cluster = Cluster::start_with(small).await;
    let dataset = cluster.import_two_groups();
    let live = cluster.train(&dataset, &[]).await.model_version;
    is_live(&cluster, &live).await;
    let large = cluster
        .train(&dataset, &["backbone.random.n_embd=64"])
        .await
        .model_version;
    let status = eventually("the scorer says why", MOVE_TIME, async || {
        let status = cluster.status().await;
        (status.counters.contains_key("label.not_moved")
            && !status.unloadable.is_empty())
        .then_some(status)
    })
    .await;
    let [unloadable] = &*status.unloadable else {
        panic!("{:?}", status.unloadable)
    };
    assert_eq!(
        (&unloadable.model_version, unloadable.cause()),
        (&large, Cause::NoMemory)
    );
    assert!(unloadable.message.contains("of 8 MiB"), "{unloadable:?}");
    assert_eq!(
        cluster.recommend(request("u0", 5)).await.model_version,
        live
    );
    let refused = cluster
        .recommendations()
        .recommend(pinned(&large))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");

    let similar = cluster.train(&dataset, &["seed=9"]).await.model_version;
    is_live(&cluster, &similar).await;
    let versions = cluster.status().await.versions;
    assert_eq!(versions.len(), 2, "the way back");
    assert_eq!(versions[0].backbone, versions[1].backbone);
    let n_bytes = versions[0].shared_bytes;
    assert!(n_bytes > 0, "{versions:?}");
    assert!(
        n_bytes < 1_000_000,
        "the prompts' words alone: {versions:?}"
    );
}

#[tokio::test]
async fn a_canary_serves_its_share_of_users_and_always_the_same_ones() {
    let shares = Options::settings(&[
        ("SCORER__CANARY_SHARE", "0.5"),
        ("SCORER__SHADOW_SHARE", "1"),
    ]);
    let cluster = Cluster::start_with(shares).await;
    let dataset = cluster.import_two_groups();
    let live = cluster.train(&dataset, &[]).await.model_version;
    cluster.wait_until_ready().await;
    let canary = cluster
        .train(&dataset, &["seed=1", "labels=[\"canary\", \"shadow\"]"])
        .await
        .model_version;
    assert_ne!(canary, live);
    cluster.set_label("live", &live).await;
    have_moved(
        &cluster,
        &[("live", &live), ("canary", &canary), ("shadow", &canary)],
    )
    .await;
    let versions = async || {
        let mut versions = Vec::new();
        for user in 0..60 {
            versions.push(
                cluster
                    .recommend(request(&format!("u{user}"), 3))
                    .await
                    .model_version,
            );
        }
        versions
    };
    let served = versions().await;
    assert_eq!(served, versions().await, "a user stays where they are");
    let share = served.iter().filter(|version| **version == canary).count();
    assert!((15..=45).contains(&share), "{share} of 60");
    assert_eq!(
        served.iter().filter(|version| **version == live).count(),
        60 - share
    );
    let n_live = 2 * (60 - share as u64);
    let report = eventually(
        "what the live version answered is compared",
        MOVE_TIME,
        async || {
            cluster
                .status()
                .await
                .shadow
                .filter(|shadow| shadow.n_requests >= n_live)
        },
    )
    .await;
    assert_eq!(report.n_requests, n_live, "and nothing else");
    assert_eq!(report.model_version, canary);
    assert!(report.overlap > 0.3 && report.overlap <= 1.0, "{report:?}");
}
