//! The scorer's RPC methods: decode, call, encode.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use domain::{Priority, Query, ScoreQuery, SimilarQuery, UserId};
use futures::{Stream, StreamExt};
use proto::{catalog, pb, recorded, version_name};
use tonic::{Request, Response, Status, Streaming};

use crate::Error;
use crate::gate::{Call, Caller};
use crate::recommend::Recommender;

/// `RecommendationService`.
#[derive(Clone)]
pub(crate) struct Recommendations {
    pub(crate) recommender: Recommender,
    /// For requests that name no deadline.
    pub(crate) default_deadline: Duration,
}

/// The metadata key by which a client names itself.
const CLIENT_ID: &str = "client-id";
/// Longest name of a client that tells it apart from others.
const LONGEST_NAME: usize = 64;
/// Requests of one stream that are worked on at once.
const STREAM_AT_ONCE: usize = 32;
/// A request of a stream is tried again for so long while too much is waiting.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);

impl Recommendations {
    fn caller<T>(&self, request: &Request<T>, priority: Priority) -> Caller {
        let name = request.metadata().get(CLIENT_ID).and_then(|name| name.to_str().ok());
        let address = || request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        let name = name.map_or_else(address, str::to_owned);
        let deadline = service::deadline(request.metadata()).unwrap_or(self.default_deadline);
        let client = name.chars().take(LONGEST_NAME).collect::<String>().into();
        Caller { client, by: Instant::now() + deadline, priority }
    }

    /// Lets a request in, or refuses it at once: before anything is made of it.
    fn enter(&self, caller: Caller) -> Result<Call, Error> {
        self.counted(self.recommender.gate.enter(caller))
    }

    /// The answer to one request, whatever becomes of it counted.
    async fn answer(&self, query: Query, call: &Call) -> Result<pb::RecommendResponse, Error> {
        let digest = query.digest;
        let recommendation = self.counted(call.in_time(self.recommender.recommend(query, call)).await)?;
        Ok(pb::RecommendResponse::of(recommendation, digest))
    }

    fn counted<T>(&self, answer: Result<T, impl Into<Error>>) -> Result<T, Error> {
        answer.map_err(Into::into).inspect_err(|error| self.recommender.counters.failed(error))
    }

    /// The answer to one request of a stream: the stream waits while the scorer is busy.
    async fn answer_patiently(&self, request: pb::BatchRecommendRequest, caller: Caller) -> pb::BatchRecommendResponse {
        use pb::batch_recommend_response::{Failure, Result};
        let until = Instant::now() + STREAM_PATIENCE;
        let query = self.counted(Query::try_from(request.request.unwrap_or_default()));
        let answered = async {
            let query = query?;
            loop {
                let caller = Caller { by: until, ..caller.clone() };
                let answered = async { self.answer(query.clone(), &self.enter(caller)?).await };
                match answered.await {
                    Err(Error::Overloaded { retry_after }) if Instant::now() + retry_after < until => {
                        tokio::time::sleep(retry_after).await;
                    }
                    other => return other,
                }
            }
        };
        let result = match answered.await {
            Ok(response) => Result::Response(response),
            Err(error) => {
                let status = Status::from(error);
                Result::Failure(Failure { code: status.code().into(), message: status.message().to_owned() })
            }
        };
        pb::BatchRecommendResponse { id: request.id, result: Some(result) }
    }
}

#[tonic::async_trait]
impl pb::recommendation_service_server::RecommendationService for Recommendations {
    async fn recommend(
        &self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        let priority = self.counted(proto::priority(request.get_ref()))?;
        let call = self.enter(self.caller(&request, priority))?;
        let query = self.counted(Query::try_from(request.into_inner()))?;
        Ok(Response::new(self.answer(query, &call).await?))
    }

    type BatchRecommendStream = Pin<Box<dyn Stream<Item = Result<pb::BatchRecommendResponse, Status>> + Send>>;

    async fn batch_recommend(
        &self,
        request: Request<Streaming<pb::BatchRecommendRequest>>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        let caller = self.caller(&request, Priority::Batch);
        let this = self.clone();
        let answers = request.into_inner().map(move |request| {
            let (this, caller) = (this.clone(), caller.clone());
            async move { Ok(this.answer_patiently(request?, caller).await) }
        });
        Ok(Response::new(Box::pin(answers.buffer_unordered(STREAM_AT_ONCE))))
    }

    async fn score_items(
        &self,
        request: Request<pb::ScoreItemsRequest>,
    ) -> Result<Response<pb::ScoreItemsResponse>, Status> {
        let call = self.enter(self.caller(&request, Priority::Interactive))?;
        let query = self.counted(ScoreQuery::try_from(request.into_inner()))?;
        Ok(Response::new(self.counted(call.in_time(self.recommender.score(query, &call)).await)?.into()))
    }

    async fn similar_items(
        &self,
        request: Request<pb::SimilarItemsRequest>,
    ) -> Result<Response<pb::SimilarItemsResponse>, Status> {
        let call = self.enter(self.caller(&request, Priority::Interactive))?;
        let query = self.counted(SimilarQuery::try_from(request.into_inner()))?;
        let (items, version) = self.counted(call.in_time(self.recommender.similar(query, &call)).await)?;
        Ok(Response::new(pb::SimilarItemsResponse::of(items, &version)))
    }

    async fn get_status(&self, _: Request<pb::GetStatusRequest>) -> Result<Response<pb::ServingStatus>, Status> {
        let overview = self.recommender.models.overview();
        let version = |(model, labels): (std::sync::Arc<crate::loaded::Loaded>, Vec<String>)| pb::LoadedVersion {
            model_version: version_name(&model.version),
            labels,
            memory_bytes: model.bytes(),
        };
        let counters = self.recommender.counters.all();
        Ok(Response::new(pb::ServingStatus {
            versions: overview.loaded.into_iter().map(version).collect(),
            unloadable: overview.unloadable.into_iter().map(|(id, why)| (version_name(&id), why)).collect(),
            counters: counters.into_iter().map(|(name, n)| (name.to_owned(), n)).collect::<HashMap<_, _>>(),
            shadow: self.recommender.behind.report().map(|report| pb::ShadowReport {
                model_version: version_name(&report.version),
                n_requests: report.n,
                overlap: report.overlap,
                live_ms: report.live_ms,
                shadow_ms: report.shadow_ms,
            }),
        }))
    }
}

/// `HistoryService`.
pub(crate) struct Histories {
    pub(crate) recommender: Recommender,
}

fn user_id(id: String) -> Result<UserId, Error> {
    UserId::new(id).map_err(|invalid| invalid.under("user_id").into())
}

#[tonic::async_trait]
impl pb::history_service_server::HistoryService for Histories {
    async fn record_interactions(
        &self,
        request: Request<pb::RecordInteractionsRequest>,
    ) -> Result<Response<pb::RecordInteractionsResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        let batch = recorded(request.interactions, storage::now_ms()).map_err(Error::from)?;
        let n_recorded = self.recommender.histories.record(&catalog, &batch).await?;
        let n_recorded = u32::try_from(n_recorded).unwrap_or(u32::MAX);
        Ok(Response::new(pb::RecordInteractionsResponse { n_recorded }))
    }

    async fn get_history(
        &self,
        request: Request<pb::GetHistoryRequest>,
    ) -> Result<Response<pb::GetHistoryResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        let user = user_id(request.user_id)?;
        let history = self.recommender.histories.stored(&catalog, &user).await?;
        let all = history.interactions();
        let limit = if request.limit == 0 { all.len() } else { request.limit as usize };
        let latest = &all[all.len().saturating_sub(limit)..];
        Ok(Response::new(pb::GetHistoryResponse {
            interactions: latest.iter().map(|interaction| pb::Interaction::of(&user, interaction)).collect(),
            deleted: history.is_deleted(),
        }))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        self.recommender.delete(&catalog, &user_id(request.user_id)?).await?;
        Ok(Response::new(pb::DeleteUserResponse {}))
    }
}
