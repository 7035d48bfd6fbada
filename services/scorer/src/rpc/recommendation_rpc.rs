//! `RecommendationService`: lists, scores, similar items, and what is served.

use std::pin::Pin;
use std::time::Duration;

use domain::{ItemQuery, Priority, ScoreQuery, SimilarQuery};
use futures::{Stream, StreamExt};
use proto::pb::recommendation_service_server::RecommendationService;
use proto::{Asked, pb};
use tokio_stream::Elapsed;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::caller::Caller;
use crate::admission::gate::{Call, Gate};
use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::rpc::catalogue::{fields, item};
use crate::rpc::status::StatusSource;
use crate::rpc::stream::{Numbered, answers};
use crate::rpc::way_in::{WayIn, origin};

/// A stream that found no place may come back then: others stay open for long.
const STREAM_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct RecommendationRpc {
    pub(crate) recommender: Recommender,
    pub(crate) way_in: WayIn,
    pub(crate) streams: Gate,
    /// A stream without a request for so long is closed.
    pub(crate) stream_idle: Duration,
    pub(crate) status: StatusSource,
}

impl RecommendationRpc {
    /// The answer to one request, counted when there is none.
    async fn answer(
        &self,
        asked: Asked,
        call: &Call,
    ) -> Result<pb::RecommendResponse, Error> {
        let Asked { query, pages } = asked;
        let answer =
            call.in_time(self.recommender.recommend(query, call)).await;
        let recommendation = self.way_in.counted(answer)?;
        Ok(pb::RecommendResponse::of(recommendation, pages))
    }

    /// The answer to one request of a stream, which comes in like any other.
    async fn answer_in_stream(
        self,
        asked: Asked,
        caller: Caller,
    ) -> Result<pb::RecommendResponse, Error> {
        let call = self.way_in.enter(caller)?;
        self.answer(asked, &call).await
    }

    /// A request of a stream; an error where the stream has to end.
    fn numbered(
        &self,
        request: Result<Result<pb::BatchRecommendRequest, Status>, Elapsed>,
    ) -> Result<Numbered<Asked>, Status> {
        let Ok(request) = request else {
            let idle = self.stream_idle;
            let reason =
                format!("no request came for {idle:?}; open another stream");
            return Err(Status::deadline_exceeded(reason));
        };
        let pb::BatchRecommendRequest { id, request } = request?;
        let asked = Asked::try_from(request.unwrap_or_default());
        Ok(Numbered {
            number: id,
            result: self.way_in.counted(asked),
        })
    }
}

#[tonic::async_trait]
impl RecommendationService for RecommendationRpc {
    async fn recommend(
        &self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        // One that is none is refused below, with all else that is wrong.
        let priority = proto::priority(request.get_ref());
        let priority = priority.unwrap_or(Priority::Batch);
        let call = self.way_in.admit(&request, priority)?;
        let asked =
            self.way_in.counted(Asked::try_from(request.into_inner()))?;
        let response = self.answer(asked, &call).await?;
        Ok(Response::new(response))
    }

    type BatchRecommendStream = Pin<
        Box<
            dyn Stream<Item = Result<pb::BatchRecommendResponse, Status>>
                + Send,
        >,
    >;

    async fn batch_recommend(
        &self,
        request: Request<Streaming<pb::BatchRecommendRequest>>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        // Streams are alike; it is their requests that are batches.
        let caller = Caller {
            // A stream may stay for long: no name that a client gives itself
            // gets it another one.
            client: origin(&request),
            ..self.way_in.caller(&request, Priority::Interactive)
        };
        let stream = self.streams.enter(caller);
        let stream = stream.map_err(|_| Error::overloaded(STREAM_RETRY));
        let stream = self.way_in.counted(stream)?;

        let this = self.clone();
        let requests = request.into_inner();
        let requests =
            tokio_stream::StreamExt::timeout(requests, self.stream_idle);
        let requests = requests.map(move |request| this.numbered(request));
        let this = self.clone();
        let answers = answers(requests, stream, move |asked, caller| {
            this.clone().answer_in_stream(asked, caller)
        });
        let responses = answers.map(|answered| answered.map(batch_response));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn score_items(
        &self,
        request: Request<pb::ScoreItemsRequest>,
    ) -> Result<Response<pb::ScoreItemsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let query = ScoreQuery::try_from(request.into_inner());
        let query = self.way_in.counted(query)?;
        let scores = call.in_time(self.recommender.score(query, &call)).await;
        let scores = self.way_in.counted(scores)?;
        Ok(Response::new(scores.into()))
    }

    async fn similar_items(
        &self,
        request: Request<pb::SimilarItemsRequest>,
    ) -> Result<Response<pb::SimilarItemsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let query = SimilarQuery::try_from(request.into_inner());
        let query = self.way_in.counted(query)?;
        let similar =
            call.in_time(self.recommender.similar(query, &call)).await;
        let (items, version) = self.way_in.counted(similar)?;
        Ok(Response::new(pb::SimilarItemsResponse::of(items, &version)))
    }

    async fn get_item(
        &self,
        request: Request<pb::GetItemRequest>,
    ) -> Result<Response<pb::Item>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let query = ItemQuery::try_from(request.into_inner());
        let query = self.way_in.counted(query)?;
        let found = call.in_time(self.recommender.item(query, &call)).await;
        Ok(Response::new(item(&self.way_in.counted(found)?)))
    }

    async fn list_fields(
        &self,
        request: Request<pb::ListFieldsRequest>,
    ) -> Result<Response<pb::ListFieldsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let choice = proto::fields_model(request.into_inner());
        let choice = self.way_in.counted(choice)?;
        let found = call.in_time(self.recommender.fields(&choice, &call)).await;
        Ok(Response::new(fields(&self.way_in.counted(found)?)))
    }

    async fn get_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::ServingStatus>, Status> {
        Ok(Response::new(self.status.now(&self.recommender)))
    }
}

fn batch_response(
    answered: Numbered<pb::RecommendResponse>,
) -> pb::BatchRecommendResponse {
    use pb::batch_recommend_response::{Failure, Result as Outcome};
    let result = match answered.result.map_err(Status::from) {
        Ok(response) => Outcome::Response(response),
        Err(status) => Outcome::Failure(Failure {
            code: status.code().into(),
            message: status.message().to_owned(),
            retry_delay: proto::retry_delay(&status),
        }),
    };
    pb::BatchRecommendResponse {
        id: answered.number,
        result: Some(result),
    }
}
