//! `ModelService` through the real coordinator: what each method does, and what
//! it refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use e2e::{Cluster, bad_fields, eventually, request};
use proto::pb;
use tonic::{Code, Status};

async fn version(
    cluster: &Cluster,
    name: &str,
) -> Result<pb::ModelVersion, Status> {
    let request = pb::GetModelVersionRequest {
        name: name.to_owned(),
    };
    let version = cluster.models().get_model_version(request).await?;
    Ok(version.into_inner())
}

async fn remove_label(cluster: &Cluster, label: &str) -> Result<(), Status> {
    let request = pb::RemoveLabelRequest {
        label: label.to_owned(),
    };
    cluster.models().remove_label(request).await?;
    Ok(())
}

async fn delete(cluster: &Cluster, name: &str) -> Result<(), Status> {
    let request = pb::DeleteModelVersionRequest {
        name: name.to_owned(),
    };
    cluster.models().delete_model_version(request).await?;
    Ok(())
}

#[tokio::test]
async fn a_version_says_what_it_was_trained_on_how_and_by_which_job() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let job = cluster
        .train(&dataset, &["labels=[\"live\", \"second\"]"])
        .await;

    let shown = version(&cluster, &job.model_version).await.unwrap();
    assert_eq!(shown.name, job.model_version);
    assert_eq!((&shown.dataset, &shown.job), (&dataset, &job.name));
    assert_eq!(shown.catalog, "default");
    assert_eq!(shown.spec, job.spec);
    assert_eq!(shown.metrics, job.metrics);
    assert_eq!(shown.labels, ["live", "second"]);
    let (made, ended) = (shown.create_time.unwrap(), job.update_time.unwrap());
    assert!(
        (made.seconds - ended.seconds).abs() <= 60,
        "{made:?} {ended:?}"
    );
    assert_eq!(cluster.versions().await, [shown]);
}

#[tokio::test]
async fn a_version_that_is_not_there_is_not_found_and_a_name_that_is_none_is_refused()
 {
    let cluster = Cluster::start_without_worker().await;
    let unknown = "modelVersions/0123456789abcdef";
    let missing = version(&cluster, unknown).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "{missing}");
    assert!(missing.message().contains("0123456789abcdef"), "{missing}");

    for bad in [
        "",
        "0123456789abcdef",
        "jobs/1",
        "modelVersions/",
        "modelVersions/..",
    ] {
        let refused = version(&cluster, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}: {refused}");
        assert_eq!(bad_fields(&refused), ["name"], "{bad}");
    }
}

#[tokio::test]
async fn a_removed_label_serves_nobody_and_its_version_may_be_deleted() {
    let cluster = Cluster::start_with_model().await;
    let live = cluster.recommend(request("u0", 1)).await.model_version;
    cluster.set_label("other", &live).await;
    assert_eq!(
        version(&cluster, &live).await.unwrap().labels,
        ["live", "other"]
    );

    remove_label(&cluster, "live").await.unwrap();
    let labels = version(&cluster, &live).await.unwrap().labels;
    assert_eq!(labels, ["other"], "the other label stays");
    eventually("nothing is live", Duration::from_secs(20), async || {
        let answer =
            cluster.recommendations().recommend(request("u0", 1)).await;
        let refused = answer.err()?;
        (refused.code() == Code::FailedPrecondition).then_some(())
    })
    .await;
    let labelled = delete(&cluster, &live).await.unwrap_err();
    assert_eq!(labelled.code(), Code::FailedPrecondition, "{labelled}");
    assert!(labelled.message().contains("other"), "{labelled}");

    remove_label(&cluster, "other").await.unwrap();
    delete(&cluster, &live).await.unwrap();
    let gone = version(&cluster, &live).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
}

#[tokio::test]
async fn a_label_that_is_not_there_may_be_removed_and_one_that_is_none_is_refused()
 {
    let cluster = Cluster::start_without_worker().await;
    remove_label(&cluster, "never-set").await.unwrap();
    for bad in ["", "Live", "..", "-live", "a b", &"x".repeat(64)] {
        let refused = remove_label(&cluster, bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}: {refused}");
        assert_eq!(bad_fields(&refused), ["label"], "{bad}");
    }
    remove_label(&cluster, &"x".repeat(63)).await.unwrap();
}
