//! Training jobs through the real services.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use e2e::{CHECKPOINTED_JOB, Cluster, SLOW_JOB, bad_fields, median};
use proto::pb;
use proto::pb::cause::Kind;
use proto::pb::job::State;

#[tokio::test]
async fn a_data_set_becomes_a_model_that_recommends() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let job = cluster.train(&dataset, &[]).await;
    assert!(
        job.metrics["recall@20"] > 0.0
            && job.metrics.contains_key("popularity_recall@20")
    );

    cluster.wait_until_ready().await;
    let answer = cluster.cli_json(&["recommend", "u0", "-k", "2"]);
    assert_eq!(answer["model_version"], job.model_version);
    // u0 has i00 to i06 in the history (train and valid), and learned from a
    // group of ten.
    for item in answer["items"].as_array().unwrap() {
        assert!(
            ["i07", "i08", "i09"].contains(&item["item_id"].as_str().unwrap()),
            "{answer}"
        );
        assert!(
            item["title"].as_str().unwrap().contains("space & stars"),
            "{answer}"
        );
    }
    let version = cluster.cli_json(&["models", "list"]);
    assert_eq!(version["labels"], serde_json::json!(["live"]));
}

#[tokio::test]
async fn a_cancelled_job_stops_within_two_seconds() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let training = |job: &pb::Job| {
        job.progress
            .as_ref()
            .is_some_and(|p| p.stage == "finetuning")
    };
    let mut times = Vec::new();
    for _ in 0..3 {
        let name = cluster.submit(&dataset, &SLOW_JOB);
        cluster
            .job_when(&name, Duration::from_secs(60), training)
            .await;
        let asked = Instant::now();
        cluster
            .training()
            .cancel_job(pb::CancelJobRequest { name: name.clone() })
            .await
            .unwrap();
        let job = cluster.ended(&name).await;
        times.push(asked.elapsed());
        assert_eq!(job.state(), State::Cancelled);
        let again = cluster
            .training()
            .cancel_job(pb::CancelJobRequest { name })
            .await
            .unwrap_err();
        assert_eq!(again.code(), tonic::Code::FailedPrecondition);
    }
    // Other tests may hold the cores for a moment.
    assert!(median(&times) < Duration::from_secs(2), "{times:?}");
}

#[tokio::test]
async fn a_job_survives_its_worker_and_succeeds_once() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &CHECKPOINTED_JOB);
    let is_checkpointed = async |cluster: &Cluster| {
        let folder = cluster.artifacts().join("checkpoints");
        std::fs::read_dir(folder)
            .is_ok_and(|mut checkpoints| checkpoints.next().is_some())
    };
    e2e::eventually("a checkpoint", Duration::from_secs(30), async || {
        is_checkpointed(&cluster).await.then_some(())
    })
    .await;
    cluster.workers[0].kill();
    let other = cluster.start_process("worker");
    cluster.workers.push(other);

    let job = cluster.ended(&name).await;
    assert_eq!(
        (job.state(), job.attempts),
        (State::Succeeded, 2),
        "{:?}",
        job.cause
    );
    let events = cluster.events(&name).await;
    let count = |text: &str| {
        events
            .iter()
            .filter(|event| event.message.contains(text))
            .count()
    };
    assert_eq!(count("published"), 1);
    assert!(count("checkpoint saved") >= 1);
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(
        numbers,
        (1..=job.n_events).collect::<Vec<_>>(),
        "numbered without gaps"
    );
    let versions = cluster
        .models()
        .list_model_versions(pb::ListModelVersionsRequest::default())
        .await
        .unwrap();
    assert_eq!(versions.into_inner().model_versions.len(), 1);
}

#[tokio::test]
async fn a_restarted_coordinator_has_lost_nothing() {
    let mut cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();
    let waiting = cluster.submit(&dataset, &["seed=5"]);
    let running = cluster.submit(
        &dataset,
        &["finetuning.epochs=100", "evaluation.patience=0"],
    );
    cluster
        .job_when(&running, Duration::from_secs(60), |job| {
            job.state() == State::Running
        })
        .await;
    cluster.restart_coordinator().await;
    for name in [&waiting, &running] {
        let job = cluster.ended(name).await;
        assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
    }
    let jobs = cluster
        .training()
        .list_jobs(pb::ListJobsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .jobs;
    assert_eq!(
        jobs.iter().map(|job| &job.name).collect::<Vec<_>>(),
        [&waiting, &running]
    );
}

#[tokio::test]
async fn the_same_request_id_is_the_same_job() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let request = |request_id: &str, validate_only| pb::TrainJobRequest {
        spec: Some(pb::TrainSpec {
            dataset: dataset.clone(),
            ..Default::default()
        }),
        request_id: request_id.to_owned(),
        validate_only,
        schedule: None,
        counts: None,
    };
    let submit = async |request| {
        cluster
            .training()
            .train_job(request)
            .await
            .map(|job| job.into_inner().name)
    };
    let first = submit(request("r1", false)).await.unwrap();
    assert_eq!(submit(request("r1", false)).await.unwrap(), first);
    assert_ne!(submit(request("r2", false)).await.unwrap(), first);
    assert_eq!(
        submit(request("r3", true)).await.unwrap(),
        "",
        "validate_only queues nothing"
    );
    let page = pb::ListJobsRequest {
        page_size: 1,
        ..Default::default()
    };
    let page = cluster
        .training()
        .list_jobs(page)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.jobs[0].name, first);
    let next = pb::ListJobsRequest {
        page_size: 5,
        page_token: page.next_page_token,
        ..Default::default()
    };
    let next = cluster
        .training()
        .list_jobs(next)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((next.jobs.len(), next.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn a_malformed_job_is_refused_with_its_fields() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let refused = async |spec: Option<pb::TrainSpec>| {
        let request = pb::TrainJobRequest {
            spec,
            ..Default::default()
        };
        cluster.training().train_job(request).await.unwrap_err()
    };
    assert_eq!(bad_fields(&refused(None).await), ["spec"]);
    assert_eq!(
        bad_fields(&refused(Some(pb::TrainSpec::default())).await),
        ["spec.dataset"]
    );
    let finetuning = pb::Finetuning {
        batch: Some(0),
        dropout: Some(2.0),
        ..Default::default()
    };
    let spec = pb::TrainSpec {
        dataset,
        finetuning: Some(finetuning),
        ..Default::default()
    };
    assert_eq!(
        bad_fields(&refused(Some(spec)).await),
        ["spec.finetuning.batch", "spec.finetuning.dropout"]
    );
    let spec = pb::TrainSpec {
        dataset: "datasets/none".to_owned(),
        ..Default::default()
    };
    assert_eq!(refused(Some(spec)).await.code(), tonic::Code::NotFound);
    let name = "job-1".to_owned();
    let unnamed = cluster
        .training()
        .get_job(pb::GetJobRequest { name })
        .await
        .unwrap_err();
    assert_eq!(
        (unnamed.code(), bad_fields(&unnamed)),
        (tonic::Code::InvalidArgument, vec!["name".to_owned()])
    );
}

/// What went wrong, from a job that must fail.
async fn cause_of_failure(
    cluster: &Cluster,
    dataset: &str,
    fields: &[&str],
) -> pb::Cause {
    let job = cluster.ended(&cluster.submit(dataset, fields)).await;
    assert_eq!(
        (job.state(), job.attempts),
        (State::Failed, 1),
        "{:?}",
        job.cause
    );
    job.cause.unwrap()
}

#[tokio::test]
async fn a_job_that_cannot_work_says_what_is_wrong_and_where() {
    let cluster = Cluster::start().await;
    let dataset = cluster.import_two_groups();

    let cause =
        cause_of_failure(&cluster, &dataset, &["backbone={path=\"none\"}"])
            .await;
    assert_eq!(cause.kind(), Kind::BadBackbone);
    assert!(
        cause.message.contains("backbones/none"),
        "{}",
        cause.message
    );

    let parity = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/model/tests/parity/backbone");
    let wrong = cluster.backbones().join("wrong-shape");
    std::fs::create_dir_all(&wrong).unwrap();
    std::fs::copy(
        parity.join("model.safetensors"),
        wrong.join("model.safetensors"),
    )
    .unwrap();
    let config = std::fs::read_to_string(parity.join("config.json")).unwrap();
    std::fs::write(
        wrong.join("config.json"),
        config.replace("\"n_embd\": 48", "\"n_embd\": 96"),
    )
    .unwrap();
    let cause = cause_of_failure(
        &cluster,
        &dataset,
        &["backbone={path=\"wrong-shape\"}"],
    )
    .await;
    assert_eq!(cause.kind(), Kind::BadBackbone);
    assert!(
        cause.message.contains("wte.weight")
            && cause.message.contains("[61, 96]"),
        "{}",
        cause.message
    );

    std::os::unix::fs::symlink(&parity, cluster.backbones().join("outside"))
        .unwrap();
    let cause =
        cause_of_failure(&cluster, &dataset, &["backbone={path=\"outside\"}"])
            .await;
    assert!(cause.message.contains("leads outside"), "{}", cause.message);

    let id = dataset.strip_prefix("datasets/").unwrap();
    let rows = cluster
        .artifacts()
        .join("datasets")
        .join(id)
        .join("interactions.safetensors");
    let mut bytes = std::fs::read(&rows).unwrap();
    bytes.truncate(100);
    std::fs::write(&rows, bytes).unwrap();
    let cause = cause_of_failure(&cluster, &dataset, &[]).await;
    assert_eq!(cause.kind(), Kind::BadData);
    assert!(cause.message.contains(id), "{}", cause.message);
}
