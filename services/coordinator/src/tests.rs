//! What a worker may commit, asked through the service that workers call.

/// Wall clocks that jump, or are ten minutes wrong.
mod clocks;
/// All orders in which workers, coordinators and a network can meet.
mod protocol;
/// Who is faster: a collection, or whoever needs what it is about to remove.
mod races;
/// Which job comes when, and to whom.
mod scheduling;

use std::path::Path;
use std::time::Duration;

use domain::{
    ArtifactId, Backbone, Catalog, CauseKind, DatasetId, Label, ModelManifest,
    ModelVersion, State, TrainSpec, UserToken,
};
use proto::pb;
use proto::pb::worker_service_server::WorkerService;
use storage::{Artifacts, Kind, Settings, Storage};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use crate::rpc::workers::Workers;
use crate::train_job::TrainJobs;

/// A coordinator's parts over a folder of their own, with one job.
struct Scene {
    /// Removed when the test ends.
    _folder: tempfile::TempDir,
    storage: Storage,
    workers: Workers,
    spec: TrainSpec,
    /// Gives out jobs.
    _tasks: JoinSet<()>,
}

/// Everything below one folder.
pub(crate) async fn open_storage(folder: &Path) -> Storage {
    let settings = Settings {
        store: format!("embedded:{}", folder.join("store.redb").display()),
        cache: String::new(),
        artifacts: folder.join("artifacts").display().to_string(),
        allow_volatile_store: false,
        key_prefix: "test".to_owned(),
        store_timeout_ms: 1_000,
        cache_timeout_ms: 50,
        state_ttl_s: 60,
        max_events_per_user: 100,
        max_event_age_days: 0,
    };
    Storage::open(&settings).await.unwrap()
}

impl Scene {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = open_storage(folder.path()).await;
        let dataset =
            put(&storage.artifacts, Kind::Dataset, "dataset.json", "{}").await;
        let mut spec =
            TrainSpec::new(DatasetId::new(dataset.as_str()).unwrap());
        spec.labels = vec![Label::live()];
        let jobs = TrainJobs::new(storage.clone(), Duration::from_secs(60));
        jobs.submit(spec.clone(), None).await.unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (giving, until) = (jobs.clone(), shutdown.clone());
        tasks.spawn(async move { giving.hand_out_until(until).await });
        Self {
            _folder: folder,
            storage,
            workers: Workers { jobs, shutdown },
            spec,
            _tasks: tasks,
        }
    }

    async fn lease(&self) -> pb::LeasedJob {
        let request = pb::LeaseRequest {
            worker: "w".to_owned(),
            ..Default::default()
        };
        let answer = self.workers.lease(Request::new(request)).await.unwrap();
        answer.into_inner().leased.unwrap()
    }

    async fn give_back(&self, leased: &pb::LeasedJob) {
        use pb::end_attempt_request::{Reason, Released};
        let request = pb::EndAttemptRequest {
            job: leased.job.clone(),
            epoch: leased.epoch,
            reason: Some(Reason::Released(Released {})),
        };
        let ended = self.workers.end_attempt(Request::new(request)).await;
        ended.unwrap();
    }

    /// Stores a model as a worker does.
    async fn model(&self, manifest: &str) -> ArtifactId {
        put(&self.storage.artifacts, Kind::Model, "model.json", manifest).await
    }

    /// A manifest of a light model alone, trained for this job.
    fn manifest(&self) -> ModelManifest {
        ModelManifest {
            format: 2,
            prompt_template: 1,
            catalog: Catalog::default(),
            dataset: self.spec.dataset.clone(),
            spec: self.spec.clone(),
            backbone: None,
            rows_sha256: String::new(),
            light_weight: 1.0,
            known_user: UserToken::Absent,
            new_user: UserToken::Absent,
            metrics: [("recall@20".to_owned(), 0.5)].into(),
            is_final_fit: false,
        }
    }

    async fn commit(
        &self,
        leased: &pb::LeasedJob,
        model: &ArtifactId,
    ) -> Result<String, Status> {
        let request = pb::CommitModelRequest {
            job: leased.job.clone(),
            epoch: leased.epoch,
            model: model.to_string(),
            metrics: [("recall@20".to_owned(), 0.5)].into(),
        };
        let answer = self.workers.commit_model(Request::new(request)).await?;
        Ok(answer.into_inner().model_version)
    }

    /// Checks that a commit is refused, and that nothing was published.
    async fn refuses(
        &self,
        leased: &pb::LeasedJob,
        model: &ArtifactId,
    ) -> Status {
        let status = self.commit(leased, model).await.unwrap_err();
        let registry = &self.storage.registry;
        assert!(registry.list().await.unwrap().records.is_empty());
        assert!(registry.labels().await.unwrap().versions.is_empty());
        let jobs = self.storage.jobs.list().await.unwrap().records;
        assert_eq!(jobs[0].state, State::Running);
        status
    }
}

async fn put(
    artifacts: &Artifacts,
    kind: Kind,
    name: &str,
    content: &str,
) -> ArtifactId {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), content).unwrap();
    artifacts.put(kind, folder.path()).await.unwrap()
}

fn json(manifest: &ModelManifest) -> String {
    serde_json::to_string(manifest).unwrap()
}

#[tokio::test]
async fn a_repeated_commit_gets_the_same_answer_and_another_version_is_refused()
{
    let scene = Scene::start().await;
    let leased = scene.lease().await;
    let model = scene.model(&json(&scene.manifest())).await;
    let first = scene.commit(&leased, &model).await.unwrap();
    assert_eq!(first, format!("modelVersions/{model}"));
    let labels = scene.storage.registry.labels().await.unwrap();
    assert_eq!(labels.versions[&Label::live()].as_str(), model.as_str());
    let n_events = scene.storage.jobs.list().await.unwrap().records[0].n_events;

    assert_eq!(scene.commit(&leased, &model).await.unwrap(), first);
    let job = scene.storage.jobs.list().await.unwrap().records.remove(0);
    assert_eq!((job.state, job.n_events), (State::Succeeded, n_events));

    let mut other = scene.manifest();
    other.light_weight = 0.5;
    let other = scene.model(&json(&other)).await;
    let refused = scene.commit(&leased, &other).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let earlier = pb::LeasedJob {
        epoch: leased.epoch - 1,
        ..leased
    };
    let refused = scene.commit(&earlier, &model).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_commit_with_the_epoch_of_a_lost_lease_publishes_nothing() {
    let scene = Scene::start().await;
    let lost = scene.lease().await;
    scene.give_back(&lost).await;
    let current = scene.lease().await;
    assert_eq!((lost.epoch, current.epoch), (1, 2));
    let model = scene.model(&json(&scene.manifest())).await;
    let refused = scene.refuses(&lost, &model).await;
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("lease epoch 1 is not current"));
    scene.commit(&current, &model).await.unwrap();
}

#[tokio::test]
async fn a_model_that_is_not_what_it_says_is_refused() {
    let scene = Scene::start().await;
    let leased = scene.lease().await;

    let model = scene.model("no manifest").await;
    let refused = scene.refuses(&leased, &model).await;
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("model.json"));

    let mut other = scene.manifest();
    other.spec.seed = 7;
    let model = scene.model(&json(&other)).await;
    let refused = scene.refuses(&leased, &model).await;
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("another specification"));

    let nowhere = ArtifactId::new("0".repeat(32)).unwrap();
    let refused = scene.refuses(&leased, &nowhere).await;
    assert_eq!(refused.code(), Code::NotFound);

    let bad_id = pb::CommitModelRequest {
        job: leased.job.clone(),
        epoch: leased.epoch,
        model: "../model".to_owned(),
        ..Default::default()
    };
    let refused = scene.workers.commit_model(Request::new(bad_id)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_model_whose_files_were_changed_or_whose_backbone_is_gone_is_refused()
{
    let scene = Scene::start().await;
    let leased = scene.lease().await;
    let artifacts = &scene.storage.artifacts;

    let model = scene.model(&json(&scene.manifest())).await;
    let folder = artifacts.folder(Kind::Model, &model).await.unwrap();
    damage(&folder);
    let refused = scene.refuses(&leased, &model).await;
    assert_eq!(refused.code(), Code::DataLoss);

    let backbone = put(artifacts, Kind::Backbone, "config.json", "{}").await;
    let mut manifest = scene.manifest();
    manifest.backbone = Some(backbone.clone());
    let model = scene.model(&json(&manifest)).await;
    artifacts.delete(Kind::Backbone, &backbone).await.unwrap();
    let refused = scene.refuses(&leased, &model).await;
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("backbone"));

    put(artifacts, Kind::Backbone, "config.json", "{}").await;
    let folder = artifacts.folder(Kind::Backbone, &backbone).await.unwrap();
    std::fs::write(folder.join("config.json"), "{ }").unwrap();
    let refused = scene.refuses(&leased, &model).await;
    assert_eq!(refused.code(), Code::DataLoss);
    assert!(refused.message().contains("backbone"));

    put(artifacts, Kind::Backbone, "config.json", "{}").await;
    scene.commit(&leased, &model).await.unwrap();
    let version = ModelVersion::new(model.as_str()).unwrap();
    let info = scene.storage.registry.get(&version).await.unwrap();
    assert_eq!(info.spec.backbone, Backbone::default());
    assert_eq!(info.metrics["recall@20"], 0.5);
}

#[tokio::test]
async fn an_ended_job_leaves_nothing_and_others_keep_theirs() {
    let scene = Scene::start().await;
    let leased = scene.lease().await;
    let artifacts = &scene.storage.artifacts;
    let state = format!("{{\"job\":\"{}\"}}", leased.job);
    let lost = format!("{{\"job\":\"{}\",\"n\":1}}", leased.job);
    let foreign = "{\"job\":\"jobs/job-other\"}";
    let mut checkpoints = Vec::new();
    for state in [&*state, &lost, foreign] {
        let stored = put(artifacts, Kind::Checkpoint, "state.json", state);
        checkpoints.push(stored.await);
    }
    let committed = pb::CommitCheckpointRequest {
        job: leased.job.clone(),
        epoch: leased.epoch,
        checkpoint: checkpoints[0].to_string(),
    };
    let request = Request::new(committed);
    scene.workers.commit_checkpoint(request).await.unwrap();

    let model = scene.model(&json(&scene.manifest())).await;
    scene.commit(&leased, &model).await.unwrap();
    let left = artifacts.list(Kind::Checkpoint).await.unwrap();
    assert_eq!(left, [checkpoints[2].clone()]);
    // It is new: its job's first commit may be on its way.
    let keep = Duration::ZERO;
    assert_eq!(scene.workers.jobs.collect(keep).await.unwrap(), 0);

    // An attempt that slept stores one more and is refused.
    let late = put(artifacts, Kind::Checkpoint, "state.json", &state).await;
    let committed = pb::CommitCheckpointRequest {
        job: leased.job.clone(),
        epoch: leased.epoch,
        checkpoint: late.to_string(),
    };
    let request = Request::new(committed);
    scene.workers.commit_checkpoint(request).await.unwrap_err();
    let left = artifacts.list(Kind::Checkpoint).await.unwrap();
    assert_eq!(left, [checkpoints[2].clone()]);
    // One whose call was cut off is found by whoever looks around.
    put(artifacts, Kind::Checkpoint, "state.json", &lost).await;
    assert_eq!(scene.workers.jobs.collect(keep).await.unwrap(), 1);
}

/// Ends the attempt because something is out of reach; returns the job.
async fn meet_outage(scene: &Scene, leased: &pb::LeasedJob) -> domain::Job {
    use pb::end_attempt_request::Reason;
    let cause = domain::Cause {
        kind: CauseKind::Unavailable,
        message: "it is away".to_owned(),
    };
    let request = pb::EndAttemptRequest {
        job: leased.job.clone(),
        epoch: leased.epoch,
        reason: Some(Reason::Failed((&cause).into())),
    };
    let ended = scene.workers.end_attempt(Request::new(request)).await;
    ended.unwrap();
    scene.storage.jobs.list().await.unwrap().records.remove(0)
}

#[tokio::test]
async fn what_a_worker_does_not_see_is_waited_for_unless_it_is_gone_for_all() {
    let scene = Scene::start().await;
    let leased = scene.lease().await;
    let job = meet_outage(&scene, &leased).await;
    assert_eq!((job.state, job.failures), (State::Queued, 0));
    assert!(job.outage.is_some());

    let cancel = scene.workers.jobs.cancel(&job.id).await.unwrap();
    assert_eq!(cancel.state, State::Cancelled);
    scene.workers.jobs.retry(&job.id).await.unwrap();
    let leased = scene.lease().await;
    assert_eq!(leased.epoch, 2);
    let dataset = ArtifactId::from(&scene.spec.dataset);
    let artifacts = &scene.storage.artifacts;
    artifacts.delete(Kind::Dataset, &dataset).await.unwrap();
    let job = meet_outage(&scene, &leased).await;
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.cause.unwrap().kind, CauseKind::BadData);
    let refused = scene.workers.jobs.retry(&job.id).await.unwrap_err();
    assert!(matches!(
        refused,
        crate::Error::Storage(storage::Error::NotFound { .. })
    ));
}

fn damage(folder: &Path) {
    let file = folder.join("model.json");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(b' ');
    std::fs::write(file, bytes).unwrap();
}
