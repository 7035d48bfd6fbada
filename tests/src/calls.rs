//! What tests ask of a cluster over gRPC.

use std::time::Duration;

use proto::pb;
use proto::pb::dataset_service_client::DatasetServiceClient;
use proto::pb::history_service_client::HistoryServiceClient;
use proto::pb::job::State;
use proto::pb::model_service_client::ModelServiceClient;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use tonic::Streaming;

use crate::both_ways::BothWays;
use crate::cluster::Cluster;
use crate::connection::connection;
use crate::process::eventually;

/// Long enough for a tiny job on a busy machine.
const JOB_TIME: Duration = Duration::from_secs(120);

/// What tests ask the coordinator: jobs and model versions.
impl Cluster {
    /// A client of the coordinator's `TrainingService`.
    pub fn training(&self) -> TrainingServiceClient<Connection> {
        TrainingServiceClient::new(connection(self.ports.coordinator))
    }

    /// A client of the coordinator's `ModelService`.
    pub fn models(&self) -> ModelServiceClient<Connection> {
        ModelServiceClient::new(connection(self.ports.coordinator))
    }

    /// A client of the coordinator's `DatasetService`.
    pub fn datasets(&self) -> DatasetServiceClient<Connection> {
        DatasetServiceClient::new(connection(self.ports.coordinator))
    }

    /// A client of the coordinator's `WorkerService`: for a test that is a
    /// worker itself.
    pub fn worker_service(&self) -> WorkerServiceClient<Connection> {
        WorkerServiceClient::new(connection(self.ports.workers))
    }

    /// Trains a model, which becomes live; returns the job.
    pub async fn train(&self, dataset: &str, fields: &[&str]) -> pb::Job {
        let job = self.ended(&self.submit(dataset, fields)).await;
        assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
        job
    }

    /// A job once it has ended.
    pub async fn ended(&self, name: &str) -> pb::Job {
        self.job_when(name, JOB_TIME, has_ended).await
    }

    /// A job once `check` holds.
    pub async fn job_when(
        &self,
        name: &str,
        within: Duration,
        check: impl Fn(&pb::Job) -> bool,
    ) -> pb::Job {
        eventually(&format!("job {name}"), within, async || {
            let request = pb::GetJobRequest {
                name: name.to_owned(),
            };
            // The coordinator may be away for a moment.
            let job = self.training().get_job(request).await.ok()?;
            Some(job.into_inner()).filter(&check)
        })
        .await
    }

    /// A job's events from the first on, then live until it ends.
    async fn watch(&self, name: &str) -> Streaming<pb::JobEvent> {
        let request = pb::WatchJobRequest {
            name: name.to_owned(),
            from_number: 1,
        };
        let stream = self.training().watch_job(request).await;
        stream.unwrap().into_inner()
    }

    /// Waits for the first event of a job that says this.
    pub async fn wait_for_event(&self, name: &str, text: &str) {
        let mut stream = self.watch(name).await;
        while let Some(event) = stream.message().await.unwrap() {
            if event.message.contains(text) {
                return;
            }
        }
        panic!("{name} ended and nothing said `{text}`");
    }

    /// All events of an ended job.
    pub async fn events(&self, name: &str) -> Vec<pb::JobEvent> {
        let mut stream = self.watch(name).await;
        let mut events = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
        events
    }

    /// All model versions, newest first.
    pub async fn versions(&self) -> Vec<pb::ModelVersion> {
        let request = pb::ListModelVersionsRequest::default();
        let versions = self.models().list_model_versions(request).await;
        versions.unwrap().into_inner().model_versions
    }

    /// Points a label to a version.
    pub async fn set_label(&self, label: &str, version: &str) {
        let request = pb::SetLabelRequest {
            label: label.to_owned(),
            model_version: version.to_owned(),
        };
        self.models().set_label(request).await.unwrap();
    }
}

fn has_ended(job: &pb::Job) -> bool {
    matches!(
        job.state(),
        State::Succeeded | State::Failed | State::Cancelled
    )
}

/// What tests ask scorers to recommend.
impl Cluster {
    /// A client of the scorer's `RecommendationService`.
    pub fn recommendations(&self) -> RecommendationServiceClient<BothWays> {
        self.recommendations_at(self.ports.scorer)
    }

    /// A client of another scorer's `RecommendationService`.
    pub fn recommendations_at(
        &self,
        port: u16,
    ) -> RecommendationServiceClient<BothWays> {
        RecommendationServiceClient::new(if self.asks_both_ways {
            BothWays::both(port)
        } else {
            BothWays::grpc(port)
        })
    }

    /// An answer of the scorer.
    pub async fn recommend(
        &self,
        request: pb::RecommendRequest,
    ) -> pb::RecommendResponse {
        self.recommend_at(self.ports.scorer, request).await
    }

    /// An answer of another scorer.
    pub async fn recommend_at(
        &self,
        port: u16,
        request: pb::RecommendRequest,
    ) -> pb::RecommendResponse {
        let answer = self.recommendations_at(port).recommend(request).await;
        answer.unwrap().into_inner()
    }

    /// What the scorer says of itself.
    pub async fn status(&self) -> pb::ServingStatus {
        self.status_at(self.ports.scorer).await
    }

    /// What another scorer says of itself.
    pub async fn status_at(&self, port: u16) -> pb::ServingStatus {
        let mut client = self.recommendations_at(port);
        let status = client.get_status(pb::GetStatusRequest {}).await;
        status.unwrap().into_inner()
    }
}

/// What tests record with scorers and read back.
impl Cluster {
    /// A client of the scorer's `HistoryService`.
    pub fn histories(&self) -> HistoryServiceClient<Connection> {
        self.histories_at(self.ports.scorer)
    }

    /// A client of another scorer's `HistoryService`.
    pub fn histories_at(&self, port: u16) -> HistoryServiceClient<Connection> {
        HistoryServiceClient::new(connection(port))
    }

    /// Records interactions; returns how many were new.
    pub async fn record(&self, interactions: Vec<pb::Interaction>) -> u32 {
        self.record_at(self.ports.scorer, interactions).await
    }

    /// Records interactions through another scorer; returns how many were new.
    pub async fn record_at(
        &self,
        port: u16,
        interactions: Vec<pb::Interaction>,
    ) -> u32 {
        let request = pb::RecordInteractionsRequest {
            interactions,
            catalog: String::new(),
        };
        let recorded =
            self.histories_at(port).record_interactions(request).await;
        recorded.unwrap().into_inner().n_recorded
    }
}
