//! The scorer's RPC methods: decode, call, encode.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

use domain::{Priority, ScoreQuery, SimilarQuery, UserId};
use futures::{Stream, StreamExt};
use proto::{Asked, catalog, pb, recorded, version_name};
use tonic::{Request, Response, Status, Streaming};

use crate::counters::Counters;
use crate::gate::{Call, Caller, Gate};
use crate::recommend::Recommender;
use crate::{Cause, Error, batch};

/// `RecommendationService`.
#[derive(Clone)]
pub(crate) struct Recommendations {
    pub(crate) recommender: Recommender,
    pub(crate) way_in: WayIn,
    /// The way in for streams.
    pub(crate) streams: Gate,
    /// A stream without a request for so long is closed.
    pub(crate) stream_idle: Duration,
}

/// How the calls of a service come in and are counted.
#[derive(Clone)]
pub(crate) struct WayIn {
    pub(crate) gate: Gate,
    pub(crate) counters: Counters,
    /// For calls that name no deadline.
    pub(crate) default_deadline: Duration,
}

/// The metadata key by which a client names itself.
const CLIENT_ID: &str = "client-id";
/// Longest name of a client that tells it apart from others.
const LONGEST_NAME: usize = 64;

/// A stream that found no place may come back then: others stay open for long.
const STREAM_RETRY: Duration = Duration::from_secs(1);

impl WayIn {
    /// Who calls, by their own name or by their address, and until when.
    fn caller<T>(&self, request: &Request<T>, priority: Priority) -> Caller {
        let name = request
            .metadata()
            .get(CLIENT_ID)
            .and_then(|name| name.to_str().ok());
        let address = || {
            request
                .remote_addr()
                .map(|address| address.ip().to_string())
                .unwrap_or_default()
        };
        let name = name.map_or_else(address, str::to_owned);
        let deadline = service::deadline(request.metadata()).unwrap_or(self.default_deadline);
        let client = name.chars().take(LONGEST_NAME).collect::<String>().into();
        Caller {
            client,
            by: Instant::now() + deadline,
            priority,
        }
    }

    /// Lets a request in, or refuses it at once: before anything is made of it.
    fn admit<T>(&self, request: &Request<T>, priority: Priority) -> Result<Call, Error> {
        self.enter(self.caller(request, priority))
    }

    /// The same for a request of a stream.
    fn enter(&self, caller: Caller) -> Result<Call, Error> {
        self.counters.counted(self.gate.enter(caller))
    }
}

impl Recommendations {
    /// The answer to one request, whatever becomes of it counted.
    async fn answer(&self, asked: Asked, call: &Call) -> Result<pb::RecommendResponse, Error> {
        let Asked { query, pages } = asked;
        let recommendation =
            self.counted(call.in_time(self.recommender.recommend(query, call)).await)?;
        Ok(pb::RecommendResponse::of(recommendation, pages))
    }

    fn counted<T>(&self, answer: Result<T, impl Into<Error>>) -> Result<T, Error> {
        self.way_in.counters.counted(answer)
    }
}

#[tonic::async_trait]
impl pb::recommendation_service_server::RecommendationService for Recommendations {
    async fn recommend(
        &self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        let priority = self.counted(proto::priority(request.get_ref()))?;
        let call = self.way_in.admit(&request, priority)?;
        let asked = self.counted(Asked::try_from(request.into_inner()))?;
        Ok(Response::new(self.answer(asked, &call).await?))
    }

    type BatchRecommendStream =
        Pin<Box<dyn Stream<Item = Result<pb::BatchRecommendResponse, Status>> + Send>>;

    async fn batch_recommend(
        &self,
        request: Request<Streaming<pb::BatchRecommendRequest>>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        // Streams are alike; it is their requests that are batches.
        let stream = self
            .streams
            .enter(self.way_in.caller(&request, Priority::Interactive));
        let stream = self.counted(stream.map_err(|_| Error::overloaded(STREAM_RETRY)))?;
        let this = self.clone();
        let idle = self.stream_idle;
        let requests =
            tokio_stream::StreamExt::timeout(request.into_inner(), idle).map(move |request| {
                let closed = |_| {
                    Status::deadline_exceeded(format!(
                        "no request came for {idle:?}; open another stream"
                    ))
                };
                let pb::BatchRecommendRequest { id, request } = request.map_err(closed)??;
                Ok((
                    id,
                    this.counted(Asked::try_from(request.unwrap_or_default())),
                ))
            });
        let this = self.clone();
        let answer = move |asked, caller| {
            let this = this.clone();
            async move { this.answer(asked, &this.way_in.enter(caller)?).await }
        };
        let answers =
            batch::answers(requests, stream, answer).map(|answered| answered.map(batch_response));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn score_items(
        &self,
        request: Request<pb::ScoreItemsRequest>,
    ) -> Result<Response<pb::ScoreItemsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let query = self.counted(ScoreQuery::try_from(request.into_inner()))?;
        Ok(Response::new(
            self.counted(call.in_time(self.recommender.score(query, &call)).await)?
                .into(),
        ))
    }

    async fn similar_items(
        &self,
        request: Request<pb::SimilarItemsRequest>,
    ) -> Result<Response<pb::SimilarItemsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let query = self.counted(SimilarQuery::try_from(request.into_inner()))?;
        let (items, version) =
            self.counted(call.in_time(self.recommender.similar(query, &call)).await)?;
        Ok(Response::new(pb::SimilarItemsResponse::of(items, &version)))
    }

    async fn get_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::ServingStatus>, Status> {
        let overview = self.recommender.models.overview();
        let version = |(model, labels): (std::sync::Arc<crate::loaded::Loaded>, Vec<String>)| {
            pb::LoadedVersion {
                model_version: version_name(&model.version),
                labels,
                memory_bytes: model.n_bytes,
                backbone: model.backbone.id.clone(),
                backbone_bytes: model.backbone.n_bytes(),
            }
        };
        let unloadable =
            |(id, why): (domain::ModelVersion, crate::Unloadable)| pb::UnloadableVersion {
                model_version: version_name(&id),
                cause: unloadable_cause(why.cause).into(),
                message: why.message,
            };
        let counters = self.recommender.counters.all();
        Ok(Response::new(pb::ServingStatus {
            versions: overview.loaded.into_iter().map(version).collect(),
            unloadable: overview.unloadable.into_iter().map(unloadable).collect(),
            counters: counters
                .into_iter()
                .map(|(name, n)| (name.to_owned(), n))
                .collect::<HashMap<_, _>>(),
            shadow: self
                .recommender
                .behind
                .report()
                .map(|report| pb::ShadowReport {
                    model_version: version_name(&report.version),
                    n_requests: report.n,
                    overlap: report.overlap,
                    live_ms: report.live_ms,
                    shadow_ms: report.shadow_ms,
                }),
        }))
    }
}

fn batch_response(
    (id, answer): (u64, Result<pb::RecommendResponse, Error>),
) -> pb::BatchRecommendResponse {
    use pb::batch_recommend_response::{Failure, Result as Outcome};
    let result = match answer.map_err(Status::from) {
        Ok(response) => Outcome::Response(response),
        Err(status) => Outcome::Failure(Failure {
            code: status.code().into(),
            message: status.message().to_owned(),
        }),
    };
    pb::BatchRecommendResponse {
        id,
        result: Some(result),
    }
}

fn unloadable_cause(cause: Cause) -> pb::unloadable_version::Cause {
    use pb::unloadable_version::Cause as Wire;
    match cause {
        Cause::Damaged => Wire::Damaged,
        Cause::Missing => Wire::Missing,
        Cause::Unreachable => Wire::Unreachable,
        Cause::Unsupported => Wire::Unsupported,
        Cause::NoMemory => Wire::NoMemory,
        Cause::Broken => Wire::Broken,
    }
}

/// `HistoryService`.
pub(crate) struct Histories {
    pub(crate) recommender: Recommender,
    /// Of its own: what is recorded does not wait for what is recommended.
    pub(crate) way_in: WayIn,
}

impl Histories {
    async fn record(&self, request: pb::RecordInteractionsRequest) -> Result<usize, Error> {
        let catalog = catalog("catalog", &request.catalog)?;
        let batch = recorded(request.interactions, storage::now_ms())?;
        self.recommender.histories.record(&catalog, &batch).await
    }

    async fn history(
        &self,
        request: pb::GetHistoryRequest,
    ) -> Result<pb::GetHistoryResponse, Error> {
        let catalog = catalog("catalog", &request.catalog)?;
        let user = user_id(request.user_id)?;
        let history = self.recommender.histories.stored(&catalog, &user).await?;
        let all = history.interactions();
        let limit = if request.limit == 0 {
            all.len()
        } else {
            request.limit as usize
        };
        let latest = &all[all.len().saturating_sub(limit)..];
        Ok(pb::GetHistoryResponse {
            interactions: latest
                .iter()
                .map(|interaction| pb::Interaction::of(&user, interaction))
                .collect(),
            deleted: history.is_deleted(),
        })
    }

    async fn delete(&self, request: pb::DeleteUserRequest) -> Result<(), Error> {
        let catalog = catalog("catalog", &request.catalog)?;
        self.recommender
            .delete(&catalog, &user_id(request.user_id)?)
            .await
    }
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
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let n_recorded = self
            .way_in
            .counters
            .counted(call.in_time(self.record(request.into_inner())).await)?;
        let n_recorded = u32::try_from(n_recorded).unwrap_or(u32::MAX);
        Ok(Response::new(pb::RecordInteractionsResponse { n_recorded }))
    }

    async fn get_history(
        &self,
        request: Request<pb::GetHistoryRequest>,
    ) -> Result<Response<pb::GetHistoryResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        Ok(Response::new(self.way_in.counters.counted(
            call.in_time(self.history(request.into_inner())).await,
        )?))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        self.way_in
            .counters
            .counted(call.in_time(self.delete(request.into_inner())).await)?;
        Ok(Response::new(pb::DeleteUserResponse {}))
    }
}
