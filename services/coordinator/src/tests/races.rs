//! Collecting garbage while others need it.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, SystemTime};

use domain::{
    Catalog, DatasetId, Job, JobId, Label, ModelInfo, ModelVersion, TrainSpec,
};
use storage::{Kind, Publication, Storage, now_ms};

use crate::gc::collector::Collector;
use crate::gc::keep::Keep;
use crate::models::Models;
use crate::tests::{open_storage, put};
use crate::train_job::TrainJobs;

const LONG: Duration = Duration::from_secs(100 * 24 * 60 * 60);

fn collector(storage: &Storage) -> Collector {
    Collector {
        models: Models::new(storage.clone()),
        storage: storage.clone(),
        keep: Keep {
            days: 30,
            event_days: 0,
            jobs: 0,
            versions: 0,
        },
    }
}

#[tokio::test]
async fn a_job_that_is_accepted_while_garbage_is_collected_has_its_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open_storage(folder.path()).await;
    storage.claim_artifacts().await.unwrap();
    let collector = collector(&storage);
    let jobs = TrainJobs::new(storage.clone(), Duration::from_secs(60));
    let datasets = folder.path().join("artifacts/datasets");
    let mut n_removed = 0;
    for round in 0..60 {
        let content = format!("{{\"n_users\": {round}}}");
        let artifacts = &storage.artifacts;
        let id = put(artifacts, Kind::Dataset, "dataset.json", &content).await;
        let index = datasets.join(id.as_str()).join("index.json");
        let file = File::options().append(true).open(index).unwrap();
        file.set_modified(SystemTime::now() - LONG).unwrap();

        let dataset = DatasetId::new(id.as_str()).unwrap();
        let submit = async {
            for _ in 0..round % 12 {
                tokio::task::yield_now().await;
            }
            jobs.submit(TrainSpec::new(dataset), None).await
        };
        let (submitted, collected) =
            tokio::join!(submit, collector.collect(now_ms()));
        collected.unwrap();
        let is_there = artifacts.require(Kind::Dataset, &id).await.is_ok();
        match submitted {
            Ok(job) => assert!(is_there, "{round}: {} has nothing", job.id),
            Err(error) => {
                assert!(error.to_string().contains("does not exist"));
                n_removed += 1;
            }
        }
    }
    let listed = storage.jobs.list().await.unwrap();
    assert_eq!(listed.records.len() + n_removed, 60);
}

async fn publish(storage: &Storage, info: &ModelInfo) {
    let nothing = |_: &mut Job| Ok::<_, storage::Error>(None);
    let publication = Publication { info, labels: &[] };
    storage
        .jobs
        .update_and_publish(&info.job, nothing, publication)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_version_that_got_a_label_or_was_published_again_meanwhile_is_not_retired()
 {
    let folder = tempfile::tempdir().unwrap();
    let storage = open_storage(folder.path()).await;
    let models = Models::new(storage.clone());
    let dataset = DatasetId::new("d").unwrap();
    let spec = TrainSpec::new(dataset.clone());
    let job = Job::queued(JobId::new("j").unwrap(), spec.clone(), 1);
    storage.jobs.create(job.clone(), None).await.unwrap();
    let info = ModelInfo {
        version: ModelVersion::new("v").unwrap(),
        catalog: Catalog::default(),
        dataset,
        job: job.id,
        spec,
        metrics: BTreeMap::new(),
        is_final_fit: false,
        dataset_name: String::new(),
        train_seconds: 0.0,
        created_ms: 1,
    };
    publish(&storage, &info).await;
    let registry = &storage.registry;
    registry
        .set_label(&Label::canary(), &info.version)
        .await
        .unwrap();
    assert!(!models.retire(&info).await.unwrap(), "it has a label");

    registry.remove_label(&Label::canary()).await.unwrap();
    let again = ModelInfo {
        created_ms: 2,
        ..info.clone()
    };
    publish(&storage, &again).await;
    assert!(!models.retire(&info).await.unwrap(), "published again");
    assert!(models.retire(&again).await.unwrap());
    assert!(registry.list().await.unwrap().records.is_empty());
    assert!(!models.retire(&again).await.unwrap(), "it is gone");
}
