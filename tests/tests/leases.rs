//! What a worker may do with a lease, and what it may not any more once the
//! lease is over. The test itself is the worker.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use e2e::{Cluster, Options, entries, eventually};
use proto::pb;
use proto::pb::cause::Kind;
use proto::pb::end_attempt_request::{Cancelled, Reason};
use proto::pb::job::State;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use tonic::{Code, Status};

/// Long enough for a lease to end and the job to be due again on a busy
/// machine.
const LEASE_TIME: Duration = Duration::from_secs(40);

/// A worker that the test plays: it holds leases and trains nothing.
struct HandMadeWorker {
    coordinator: WorkerServiceClient<Connection>,
}

impl HandMadeWorker {
    fn new(cluster: &Cluster) -> Self {
        Self {
            coordinator: cluster.worker_service(),
        }
    }

    /// Takes the next job, once there is one.
    async fn lease(&mut self) -> pb::LeasedJob {
        let request = pb::LeaseRequest {
            worker: "hand-made".to_owned(),
            wait_ms: 1_000,
            ..Default::default()
        };
        eventually("a lease", LEASE_TIME, async || {
            let answer = self.coordinator.lease(request.clone()).await.unwrap();
            answer.into_inner().leased
        })
        .await
    }

    /// Renews a lease; returns whether the job is to stop.
    async fn heartbeat(
        &mut self,
        job: &str,
        epoch: u64,
    ) -> Result<bool, Status> {
        let request = pb::HeartbeatRequest {
            job: job.to_owned(),
            epoch,
            progress: None,
        };
        let answer = self.coordinator.heartbeat(request).await?;
        Ok(answer.into_inner().cancel)
    }

    /// Commits a stored model; returns the version.
    async fn commit(
        &mut self,
        job: &str,
        epoch: u64,
        model: &str,
    ) -> Result<String, Status> {
        let request = pb::CommitModelRequest {
            job: job.to_owned(),
            epoch,
            model: model.to_owned(),
            ..Default::default()
        };
        let answer = self.coordinator.commit_model(request).await?;
        Ok(answer.into_inner().model_version)
    }

    /// Says that the attempt ended because the job was cancelled.
    async fn stop(&mut self, job: &str, epoch: u64) -> Result<(), Status> {
        let request = pb::EndAttemptRequest {
            job: job.to_owned(),
            epoch,
            reason: Some(Reason::Cancelled(Cancelled {})),
        };
        self.coordinator.end_attempt(request).await?;
        Ok(())
    }
}

/// A cluster with a stored model that no version names, and no worker that is
/// in the way.
struct WithStoredModel {
    cluster: Cluster,
    dataset: String,
    /// Id of the model in the artifact store: what every job of this data set
    /// comes to.
    model: String,
}

impl WithStoredModel {
    /// Trains a model, takes it out of the registry and puts its files back.
    async fn start() -> Self {
        // Leases are long enough for a call that verifies a model on a busy
        // machine.
        let options = Options::settings(&[("COORDINATOR__LEASE_TERM_S", "5")]);
        let mut cluster = Cluster::start_with(options).await;
        let dataset = cluster.import_two_groups();
        let version = cluster.train(&dataset, &[]).await.model_version;
        assert!(cluster.workers[0].terminate().await);

        let model = version.trim_start_matches("modelVersions/").to_owned();
        let stored = cluster.artifacts().join("models").join(&model);
        let aside = cluster.folder().join("aside");
        copy_files(&stored, &aside);
        let mut models = cluster.models();
        let label = "live".to_owned();
        let unlabel = pb::RemoveLabelRequest { label };
        models.remove_label(unlabel).await.unwrap();
        let delete = pb::DeleteModelVersionRequest { name: version };
        models.delete_model_version(delete).await.unwrap();
        copy_files(&aside, &stored);
        Self {
            cluster,
            dataset,
            model,
        }
    }

    /// Nothing was published: no version, and so no label.
    async fn assert_nothing_is_published(&self) {
        let versions = self.cluster.versions().await;
        assert!(versions.is_empty(), "{versions:?}");
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in entries(from) {
        let copy = to.join(file.file_name().unwrap());
        std::fs::copy(&file, &copy).unwrap();
    }
}

#[tokio::test]
async fn a_worker_with_an_old_lease_can_commit_nothing() {
    let stored = WithStoredModel::start().await;
    let (cluster, model) = (&stored.cluster, &*stored.model);
    let job = cluster.submit(&stored.dataset, &[]);
    let mut worker = HandMadeWorker::new(cluster);
    assert_eq!(worker.lease().await.epoch, 1);
    // Nobody renews the lease: it is taken away.
    cluster
        .job_when(&job, LEASE_TIME, |job| job.state() == State::Queued)
        .await;
    let late = worker.commit(&job, 1, model).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
    stored.assert_nothing_is_published().await;

    let second = worker.lease().await;
    assert_eq!((&second.job, second.epoch), (&job, 2));
    let late = worker.commit(&job, 1, model).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
    assert!(late.message().contains("epoch 1"), "{late}");
    stored.assert_nothing_is_published().await;
    let running = cluster.job_when(&job, LEASE_TIME, |_| true).await;
    assert_eq!(running.state(), State::Running);
    assert_eq!((running.attempts, &*running.model_version), (2, ""));

    // It was the epoch alone that was wrong.
    let version = worker.commit(&job, 2, model).await.unwrap();
    let published = cluster.versions().await;
    assert_eq!(published.len(), 1);
    assert_eq!((&published[0].name, &published[0].job), (&version, &job));
    assert_eq!(published[0].labels, ["live"]);
    // Whoever did not hear the answer may ask again; whoever lost the lease may
    // not.
    assert_eq!(worker.commit(&job, 2, model).await.unwrap(), version);
    let late = worker.commit(&job, 1, model).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
    assert_eq!(cluster.versions().await.len(), 1);
    assert_eq!(cluster.ended(&job).await.state(), State::Succeeded);
}

#[tokio::test]
async fn a_model_of_a_cancelled_job_is_refused_and_not_published() {
    let stored = WithStoredModel::start().await;
    let (cluster, model) = (&stored.cluster, &*stored.model);
    let job = cluster.submit(&stored.dataset, &[]);
    let mut worker = HandMadeWorker::new(cluster);
    assert_eq!(worker.lease().await.epoch, 1);
    let cancel = pb::CancelJobRequest { name: job.clone() };
    cluster.training().cancel_job(cancel).await.unwrap();
    assert!(worker.heartbeat(&job, 1).await.unwrap(), "it is to stop");
    worker.stop(&job, 1).await.unwrap();

    let late = worker.commit(&job, 1, model).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
    stored.assert_nothing_is_published().await;
    assert_eq!(cluster.ended(&job).await.state(), State::Cancelled);
}

#[tokio::test]
async fn a_model_that_is_not_stored_or_of_another_job_is_refused_and_the_job_goes_on()
 {
    let stored = WithStoredModel::start().await;
    let cluster = &stored.cluster;
    let job = cluster.submit(&stored.dataset, &["seed=7"]);
    let mut worker = HandMadeWorker::new(cluster);
    assert_eq!(worker.lease().await.epoch, 1);

    let missing = worker.commit(&job, 1, "0123456789abcdef").await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let other = worker.commit(&job, 1, &stored.model).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument, "{other}");
    assert!(other.message().contains("another specification"), "{other}");
    stored.assert_nothing_is_published().await;
    assert!(!worker.heartbeat(&job, 1).await.unwrap(), "it goes on");
}

#[tokio::test]
async fn a_worker_with_an_old_lease_can_renew_and_end_nothing() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &[]);
    let mut worker = HandMadeWorker::new(&cluster);
    let first = worker.lease().await;
    assert_eq!((first.job.as_str(), first.epoch), (name.as_str(), 1));
    // Nobody renews the lease; after its term and a pause the job is leased
    // again.
    cluster
        .job_when(&name, LEASE_TIME, |job| job.state() == State::Queued)
        .await;
    let second = worker.lease().await;
    assert_eq!(second.epoch, 2);
    let old = worker.heartbeat(&name, 1).await.unwrap_err();
    assert_eq!(old.code(), Code::FailedPrecondition);
    let old = worker.stop(&name, 1).await.unwrap_err();
    assert_eq!(old.code(), Code::FailedPrecondition);
    assert!(!worker.heartbeat(&name, 2).await.unwrap());
}

#[tokio::test]
async fn a_job_that_loses_three_workers_before_they_begin_fails_and_can_be_tried_again()
 {
    let options = Options::settings(&[("COORDINATOR__LEASE_TERM_S", "1")]);
    let cluster = Cluster::start_with(options.without_worker()).await;
    let dataset = cluster.import_two_groups();
    let name = cluster.submit(&dataset, &[]);
    let mut worker = HandMadeWorker::new(&cluster);
    assert_eq!(worker.lease().await.epoch, 1);
    let lost = cluster
        .job_when(&name, LEASE_TIME, |job| job.state() == State::Queued)
        .await;
    assert_eq!(lost.cause.unwrap().kind(), Kind::WorkerLost);
    // None of them has said that it got the job: two may have been lost calls.
    assert_eq!(worker.lease().await.epoch, 2);
    assert_eq!(worker.lease().await.epoch, 3);
    let failed = cluster.ended(&name).await;
    assert_eq!(failed.state(), State::Failed);
    let cause = failed.cause.unwrap();
    assert_eq!(cause.kind(), Kind::WorkerCrashed, "{}", cause.message);

    let retried = cluster.cli_json(&["train", "retry", &name]);
    assert_eq!(retried["state"], "QUEUED");
    assert_eq!(worker.lease().await.epoch, 4);
    let request = pb::RetryJobRequest { name };
    let refused = cluster.training().retry_job(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
