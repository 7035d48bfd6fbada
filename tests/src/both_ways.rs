//! A connection that can ask everything twice: over gRPC, and over HTTP with
//! JSON. Both must say the same.

use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions,
};
use serde_json::Value;
use service::client::Connection;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Service, http as types};
use tonic::{Code, Status};

use crate::asking::bad_fields;
use crate::connection::connection;
use crate::http::{HttpAnswer, http};

/// Bytes before each message of gRPC.
const HEAD: usize = 5;
/// May differ from one answer to the next: whether it was `cached`, and of a
/// page token all but whether there is one.
const OF_THE_MOMENT: [&str; 2] = ["cached", "next_page_token"];

/// A connection whose calls may be repeated over HTTP.
#[derive(Debug, Clone)]
pub struct BothWays {
    inner: Connection,
    port: u16,
    /// The definition of all methods, where calls are repeated.
    pool: Option<Arc<DescriptorPool>>,
}

impl BothWays {
    /// Asks a port over gRPC alone.
    pub(crate) fn grpc(port: u16) -> Self {
        Self {
            inner: connection(port),
            port,
            pool: None,
        }
    }

    /// Asks a port both ways: only for calls that change nothing.
    pub(crate) fn both(port: u16) -> Self {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        Self {
            inner: connection(port),
            port,
            pool: Some(Arc::new(pool)),
        }
    }

    /// The method at a path of gRPC and its path of HTTP, where calls are
    /// repeated and the method is one that a body is posted to.
    fn posted(&self, path: &str) -> Option<(MethodDescriptor, String)> {
        let pool = self.pool.as_ref()?;
        let (service, name) = path.trim_start_matches('/').split_once('/')?;
        let service = pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|it| it.name() == name).unwrap();
        let rule = pool.get_extension_by_name("google.api.http").unwrap();
        let options = method.options();
        let rule = options.get_extension(&rule);
        let path = rule.as_message()?.get_field_by_name("post")?;
        let path = path.as_str()?.to_owned();
        (!path.is_empty()).then_some((method, path))
    }
}

impl Service<types::Request<Body>> for BothWays {
    type Response = types::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(failed)
    }

    fn call(&mut self, request: types::Request<Body>) -> Self::Future {
        let posted = self.posted(request.uri().path());
        let port = self.port;
        // The one that said it was ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let Some((method, path)) = posted else {
                let answer = inner.call(request).await.map_err(failed)?;
                return Ok(answer.map(Body::new));
            };
            let (head, body) = request.into_parts();
            let asked = body.collect().await?.to_bytes();
            let again = Body::new(Full::new(asked.clone()));
            let request = types::Request::from_parts(head, again);
            let answer = inner.call(request).await.map_err(failed)?;
            let answer = Answer::read(answer.map(Body::new)).await?;
            let body = json(method.input(), &asked[HEAD..]).to_string();
            let request = format!("POST {path}");
            let over_http = http(port, &request, WAITS, &body).await;
            match &answer.refused {
                Some(status) => compare_refusals(status, &over_http),
                None => {
                    let said = json(method.output(), &answer.bytes[HEAD..]);
                    compare_answers(said, &over_http);
                }
            }
            Ok(answer.again())
        })
    }
}

fn failed(error: tonic::transport::Error) -> Status {
    Status::from_error(error.into())
}

/// As long as the tests' own requests may take.
const WAITS: &str = "x-server-timeout: 30\r\n";

/// An answer of gRPC that was read to its end.
struct Answer {
    head: types::response::Parts,
    bytes: Bytes,
    trailers: types::HeaderMap,
    refused: Option<Status>,
}

impl Answer {
    async fn read(answer: types::Response<Body>) -> Result<Self, Status> {
        let (head, body) = answer.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let refused = [&head.headers, &trailers]
            .into_iter()
            .filter_map(Status::from_header_map)
            .find(|status| status.code() != Code::Ok);
        Ok(Self {
            bytes: collected.to_bytes(),
            head,
            trailers,
            refused,
        })
    }

    /// The answer as it was.
    fn again(self) -> types::Response<Body> {
        let Self {
            head,
            bytes,
            trailers,
            ..
        } = self;
        let body =
            Full::new(bytes).with_trailers(async move { Some(Ok(trailers)) });
        types::Response::from_parts(head, Body::new(body))
    }
}

fn json(of: prost_reflect::MessageDescriptor, message: &[u8]) -> Value {
    let message = DynamicMessage::decode(of, Bytes::copy_from_slice(message));
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    let message = message.unwrap();
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut writer, &options)
        .unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn compare_answers(mut said: Value, over_http: &HttpAnswer) {
    assert_eq!(over_http.status, 200, "{over_http:?}");
    let mut there = over_http.json();
    for answer in [&mut said, &mut there] {
        for name in OF_THE_MOMENT {
            if let Some(value) = answer.get_mut(name) {
                *value = Value::from(value.as_str().is_some_and(str::is_empty));
            }
        }
    }
    assert_eq!(there, said);
}

fn compare_refusals(status: &Status, over_http: &HttpAnswer) {
    let problem = over_http.json();
    let code = problem["code"].as_str().unwrap().replace('_', "");
    let ours = format!("{:?}", status.code()).to_uppercase();
    assert!(over_http.status >= 400, "{over_http:?}");
    assert_eq!(code, ours, "{problem}");
    assert_eq!(problem["detail"], status.message());
    let there = problem["violations"].as_array().cloned();
    let there = there.unwrap_or_default();
    let there: Vec<_> = there
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    assert_eq!(there, bad_fields(status));
}
