//! Calls the services for a visitor, each call with a deadline.

use std::time::Duration;

use futures::Stream;
use proto::pb;
use proto::pb::dataset_service_client::DatasetServiceClient;
use proto::pb::history_service_client::HistoryServiceClient;
use proto::pb::model_service_client::ModelServiceClient;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::{Connection, Target, TargetError, channel, with_token};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use crate::view::written::{dataset_name, version_name};
use crate::visitor::Tokens;

/// How long a page waits for a service.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long for a list with reasons, which cost twenty forward passes an item.
const PATIENCE_FOR_REASONS: Duration = Duration::from_secs(20);

/// The connections to the services, which all visitors share.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    coordinator: Service,
    scorer: Service,
}

#[derive(Debug, Clone)]
struct Service {
    channel: Channel,
    /// Sent where a visitor has none of their own.
    token: String,
    url: String,
}

impl Service {
    fn new(target: &Target) -> Result<Self, TargetError> {
        Ok(Self {
            channel: channel(target)?,
            token: target.token.clone(),
            url: target.url.clone(),
        })
    }

    fn connection(&self, token: &str) -> Result<Connection, TargetError> {
        let token = if token.is_empty() { &self.token } else { token };
        with_token(self.channel.clone(), token)
    }
}

impl Backend {
    pub(crate) fn new(
        coordinator: &Target,
        scorer: &Target,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            coordinator: Service::new(coordinator)?,
            scorer: Service::new(scorer)?,
        })
    }

    /// Where the scorer is, as its clients write it.
    pub(crate) fn scorer_url(&self) -> &str {
        &self.scorer.url
    }

    /// The services for whoever has these tokens.
    pub(crate) fn services(
        &self,
        tokens: &Tokens,
    ) -> Result<Services, TargetError> {
        let coordinator = self.coordinator.connection(&tokens.coordinator)?;
        let scorer = self.scorer.connection(&tokens.scorer)?;
        Ok(Services {
            training: TrainingServiceClient::new(coordinator.clone()),
            models: ModelServiceClient::new(coordinator.clone()),
            datasets: DatasetServiceClient::new(coordinator),
            recommendations: RecommendationServiceClient::new(scorer.clone()),
            histories: HistoryServiceClient::new(scorer),
        })
    }
}

/// The services, for one visitor.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    training: TrainingServiceClient<Connection>,
    models: ModelServiceClient<Connection>,
    datasets: DatasetServiceClient<Connection>,
    recommendations: RecommendationServiceClient<Connection>,
    histories: HistoryServiceClient<Connection>,
}

fn timed<T>(time: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

/// Jobs.
impl Services {
    pub(crate) async fn jobs(
        &self,
        request: pb::ListJobsRequest,
    ) -> Result<pb::ListJobsResponse, Status> {
        let mut client = self.training.clone();
        let answer = client.list_jobs(timed(PATIENCE, request)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn job(&self, id: &str) -> Result<pb::Job, Status> {
        let name = job_name(id);
        let request = timed(PATIENCE, pb::GetJobRequest { name });
        let mut client = self.training.clone();
        let answer = client.get_job(request).await?;
        Ok(answer.into_inner())
    }

    /// A job's events from a number on, live until it ends: no deadline.
    pub(crate) async fn watch(
        &self,
        id: &str,
        from_number: u64,
    ) -> Result<Streaming<pb::JobEvent>, Status> {
        let name = job_name(id);
        let request = pb::WatchJobRequest { name, from_number };
        let stream = self.training.clone().watch_job(request).await?;
        Ok(stream.into_inner())
    }

    pub(crate) async fn submit(
        &self,
        request: pb::TrainJobRequest,
    ) -> Result<pb::Job, Status> {
        let mut client = self.training.clone();
        let answer = client.train_job(timed(PATIENCE, request)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<pb::Job, Status> {
        let name = job_name(id);
        let request = timed(PATIENCE, pb::CancelJobRequest { name });
        let mut client = self.training.clone();
        let answer = client.cancel_job(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<pb::Job, Status> {
        let name = job_name(id);
        let request = timed(PATIENCE, pb::RetryJobRequest { name });
        let mut client = self.training.clone();
        let answer = client.retry_job(request).await?;
        Ok(answer.into_inner())
    }
}

fn job_name(id: &str) -> String {
    format!("jobs/{id}")
}

/// Models and data sets.
impl Services {
    pub(crate) async fn versions(
        &self,
        page_token: &str,
    ) -> Result<pb::ListModelVersionsResponse, Status> {
        let request = pb::ListModelVersionsRequest {
            page_size: 100,
            page_token: page_token.to_owned(),
        };
        let request = timed(PATIENCE, request);
        let mut client = self.models.clone();
        let answer = client.list_model_versions(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn version(
        &self,
        id: &str,
    ) -> Result<pb::ModelVersion, Status> {
        let name = version_name(id);
        let request = timed(PATIENCE, pb::GetModelVersionRequest { name });
        let mut client = self.models.clone();
        let answer = client.get_model_version(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn set_label(
        &self,
        label: &str,
        id: &str,
    ) -> Result<pb::ModelVersion, Status> {
        let request = pb::SetLabelRequest {
            label: label.to_owned(),
            model_version: version_name(id),
        };
        let mut client = self.models.clone();
        let answer = client.set_label(timed(PATIENCE, request)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn remove_label(&self, label: &str) -> Result<(), Status> {
        let label = label.to_owned();
        let request = timed(PATIENCE, pb::RemoveLabelRequest { label });
        self.models.clone().remove_label(request).await?;
        Ok(())
    }

    pub(crate) async fn datasets(
        &self,
    ) -> Result<pb::ListDatasetsResponse, Status> {
        let request = timed(PATIENCE, pb::ListDatasetsRequest {});
        let mut client = self.datasets.clone();
        let answer = client.list_datasets(request).await?;
        Ok(answer.into_inner())
    }
}

/// How long the import of a file may take, its way here included.
const PATIENCE_FOR_IMPORTS: Duration = Duration::from_secs(180);

/// Data sets, one by one.
impl Services {
    pub(crate) async fn dataset(
        &self,
        id: &str,
    ) -> Result<pb::DatasetDetails, Status> {
        let name = dataset_name(id);
        let request = timed(PATIENCE, pb::GetDatasetRequest { name });
        let mut client = self.datasets.clone();
        let answer = client.get_dataset(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn import_dataset(
        &self,
        messages: impl Stream<Item = pb::ImportDatasetRequest> + Send + 'static,
    ) -> Result<pb::ImportDatasetResponse, Status> {
        let request = timed(PATIENCE_FOR_IMPORTS, messages);
        let mut client = self.datasets.clone();
        let answer = client.import_dataset(request).await?;
        Ok(answer.into_inner())
    }
}

/// Lists and histories.
impl Services {
    /// Lists of many users, as they come.
    pub(crate) async fn recommend_many(
        &self,
        requests: Vec<pb::BatchRecommendRequest>,
    ) -> Result<Streaming<pb::BatchRecommendResponse>, Status> {
        let requests = futures::stream::iter(requests);
        let request = timed(PATIENCE, requests);
        let mut client = self.recommendations.clone();
        let answer = client.batch_recommend(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn item(
        &self,
        request: pb::GetItemRequest,
    ) -> Result<pb::Item, Status> {
        let request = timed(PATIENCE, request);
        let mut client = self.recommendations.clone();
        let answer = client.get_item(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn fields(
        &self,
        request: pb::ListFieldsRequest,
    ) -> Result<pb::ListFieldsResponse, Status> {
        let request = timed(PATIENCE, request);
        let mut client = self.recommendations.clone();
        let answer = client.list_fields(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn users(
        &self,
        request: pb::ListUsersRequest,
    ) -> Result<pb::ListUsersResponse, Status> {
        let request = timed(PATIENCE, request);
        let mut client = self.histories.clone();
        let answer = client.list_users(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn recommend(
        &self,
        request: pb::RecommendRequest,
    ) -> Result<pb::RecommendResponse, Status> {
        let patience = if request.explain {
            PATIENCE_FOR_REASONS
        } else {
            PATIENCE
        };
        let request = timed(patience, request);
        let mut client = self.recommendations.clone();
        let answer = client.recommend(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn similar(
        &self,
        request: pb::SimilarItemsRequest,
    ) -> Result<pb::SimilarItemsResponse, Status> {
        let request = timed(PATIENCE, request);
        let mut client = self.recommendations.clone();
        let answer = client.similar_items(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn history(
        &self,
        request: pb::GetHistoryRequest,
    ) -> Result<pb::GetHistoryResponse, Status> {
        let request = timed(PATIENCE, request);
        let mut client = self.histories.clone();
        let answer = client.get_history(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn serving(&self) -> Result<pb::ServingStatus, Status> {
        let request = timed(PATIENCE, pb::GetStatusRequest {});
        let mut client = self.recommendations.clone();
        let answer = client.get_status(request).await?;
        Ok(answer.into_inner())
    }
}
