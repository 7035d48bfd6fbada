//! How a scorer is asked: over gRPC, or over HTTP with JSON.

use std::sync::LazyLock;

use http_body_util::{BodyExt, Full};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use serde::Deserialize;
use service::client::Connection;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::{Code, Request, Status};

/// What counts of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) cached: bool,
    degradations: Vec<serde::de::IgnoredAny>,
    pub(crate) n_scored: u64,
    pub(crate) model_version: String,
}

impl Answer {
    pub(crate) fn is_degraded(&self) -> bool {
        !self.degradations.is_empty()
    }
}

/// A connection and what is spoken on it.
#[derive(Clone)]
pub(crate) enum Stub {
    Grpc(RecommendationServiceClient<Connection>),
    /// JSON over HTTP/2.
    Json(Connection),
}

impl Stub {
    pub(crate) async fn recommend(
        &mut self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Answer, Status> {
        match self {
            Self::Grpc(client) => {
                let answer = client.recommend(request).await?.into_inner();
                let degradations = answer.degradations.iter();
                Ok(Answer {
                    cached: answer.cached,
                    degradations: degradations
                        .map(|_| serde::de::IgnoredAny)
                        .collect(),
                    n_scored: answer.n_scored.into(),
                    model_version: answer.model_version,
                })
            }
            Self::Json(connection) => over_http(connection, request).await,
        }
    }
}

async fn over_http(
    connection: &mut Connection,
    request: Request<pb::RecommendRequest>,
) -> Result<Answer, Status> {
    let body = body(request.get_ref())?;
    let mut asked = http::Request::builder()
        .method(http::Method::POST)
        .uri("/v1/recommend")
        .header(http::header::CONTENT_TYPE, "application/json");
    if let Some(left) = service::deadline(request.metadata()) {
        asked =
            asked.header("x-server-timeout", left.as_secs_f64().to_string());
    }
    let asked = asked
        .body(Body::new(Full::new(Bytes::from(body))))
        .map_err(|error| Status::internal(error.to_string()))?;
    let failed =
        |error: tonic::transport::Error| Status::from_error(error.into());
    std::future::poll_fn(|context| connection.poll_ready(context))
        .await
        .map_err(failed)?;
    let answer = connection.call(asked).await.map_err(failed)?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&bytes)
            .map_err(|error| Status::internal(error.to_string()));
    }
    let code = match status {
        http::StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        http::StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        http::StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    Err(Status::new(code, String::from_utf8_lossy(&bytes)))
}

/// The request as JSON has it, by the definition.
fn body(request: &pb::RecommendRequest) -> Result<Vec<u8>, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Status::internal(format!("the request is not written as JSON: {error}"))
    };
    let mut message = DynamicMessage::new(REQUEST.clone());
    message
        .transcode_from(request)
        .map_err(|error| failed(&error))?;
    serde_json::to_vec(&message).map_err(|error| failed(&error))
}

/// The definition of a request.
static REQUEST: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS);
    let pool = pool.expect("the build made the descriptors");
    pool.get_message_by_name("cllm4rec.v1.RecommendRequest")
        .expect("the definition has the message")
});
