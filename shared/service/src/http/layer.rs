//! Tells HTTP with JSON from gRPC. What is gRPC passes as it is.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use prost_reflect::DescriptorPool;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tower_layer::Layer;

use super::answer::{self, Form};
use super::openapi;
use super::origin::check_origin;
use super::problem;
use super::request::{self, Fields};
use super::response::whole;
use super::routes::{Found, Route, Routes};
use crate::access::RoleCheck;
use crate::deadline;

/// Where the description of all paths is.
const OPENAPI: &str = "/v1/openapi.json";
/// How many seconds the caller waits.
const WAITS: &str = "x-server-timeout";
/// How long a call may take where the caller names no deadline: less than the
/// server's own bound, which would answer as gRPC does.
const LONGEST_CALL: Duration = Duration::from_secs(590);

/// Puts HTTP with JSON in front of the services of gRPC.
#[derive(Clone)]
pub(crate) struct JsonLayer {
    paths: Arc<Paths>,
}

struct Paths {
    routes: Routes,
    openapi: Bytes,
    check: RoleCheck,
}

impl JsonLayer {
    /// The paths that the descriptors of a port name; `check` is the port's,
    /// for what is answered here.
    ///
    /// # Errors
    /// The descriptors are none, or have a path that is not understood.
    pub(crate) fn of(
        descriptors: &[u8],
        check: RoleCheck,
    ) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(descriptors)?;
        let routes = Routes::of(&pool)?;
        let openapi = serde_json::to_vec(&openapi::document(&routes))?;
        Ok(Self {
            paths: Arc::new(Paths {
                routes,
                openapi: openapi.into(),
                check,
            }),
        })
    }
}

impl<S> Layer<S> for JsonLayer {
    type Service = Json<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Json {
            inner,
            paths: Arc::clone(&self.paths),
        }
    }
}

/// Services that understand JSON too.
#[derive(Clone)]
pub(crate) struct Json<S> {
    inner: S,
    paths: Arc<Paths>,
}

impl<S> Service<http::Request<Body>> for Json<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_grpc = is_grpc(request.headers());
        if is_grpc && request.version() == http::Version::HTTP_2 {
            return Box::pin(self.inner.call(request));
        }
        if is_grpc {
            // Only a browser's page, or a mistake, sends it so.
            let refusal = problem::response(&Status::invalid_argument(
                "gRPC needs HTTP/2",
            ));
            return Box::pin(async move { Ok(refusal) });
        }
        let form = Form::of(request.headers());
        let (method, request) = match self.paths.grpc_call(request) {
            Ok(Asked::Method(method, request)) => (method, request),
            Ok(Asked::Openapi) => {
                let document = self.paths.openapi();
                return Box::pin(async move { Ok(document) });
            }
            Err(refusal) => return Box::pin(async move { Ok(*refusal) }),
        };
        let left = request.headers().get(deadline::HEADER);
        let left = left.and_then(|left| deadline::of_text(left.to_str().ok()?));
        let left = left.unwrap_or(LONGEST_CALL).min(LONGEST_CALL);
        let answer = self.inner.call(*request);
        Box::pin(async move {
            let output = method.output();
            let whole = async {
                let answer = answer.await?;
                Ok(if method.is_server_streaming() {
                    answer::streaming(output, answer, form)
                } else {
                    answer::unary(output, answer).await
                })
            };
            match tokio::time::timeout(left, whole).await {
                Ok(answer) => answer,
                Err(_) => Ok(problem::response(&Status::deadline_exceeded(
                    "the deadline has passed",
                ))),
            }
        })
    }
}

/// What a request of HTTP asks for.
enum Asked {
    /// A method, by this request of gRPC.
    Method(prost_reflect::MethodDescriptor, Box<http::Request<Body>>),
    /// The description of all paths.
    Openapi,
}

impl Paths {
    fn openapi(&self) -> http::Response<Body> {
        whole("application/json", self.openapi.clone())
    }

    /// The request of gRPC that a request of HTTP stands for, or its refusal.
    fn grpc_call(
        &self,
        request: http::Request<Body>,
    ) -> Result<Asked, Box<http::Response<Body>>> {
        let refused = |status: Status| Box::new(problem::response(&status));
        let wants_token = self.check.wants_token();
        check_origin(request.uri(), request.headers(), wants_token)
            .map_err(refused)?;
        let path = request.uri().path();
        if path == OPENAPI {
            self.check.admit(path, request.headers()).map_err(refused)?;
            return Ok(Asked::Openapi);
        }
        match self.routes.find(request.method(), path) {
            Found::Route(route, fields) => {
                let method = route.method.clone();
                let call = call(route, fields, request).map_err(refused)?;
                Ok(Asked::Method(method, Box::new(call)))
            }
            Found::OtherVerbs(verbs) => Err(Box::new(other_verb(&verbs))),
            Found::Nothing => Err(refused(Status::not_found(format!(
                "there is no {path}: {OPENAPI} lists the paths"
            )))),
        }
    }
}

fn is_grpc(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn other_verb(verbs: &[&http::Method]) -> http::Response<Body> {
    let names: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
    let names = names.join(", ");
    let status = Status::unimplemented(format!("this path takes {names}"));
    let code = http::StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem::response_as(&status, code);
    if let Ok(names) = names.parse() {
        response.headers_mut().insert(http::header::ALLOW, names);
    }
    response
}

/// The call of a route's method.
fn call(
    route: &Route,
    path: Vec<(String, String)>,
    request: http::Request<Body>,
) -> Result<http::Request<Body>, Status> {
    let (mut head, body) = request.into_parts();
    if route.has_body && !body.is_end_stream() {
        check_is_json(&head.headers)?;
    }
    let fields = Fields {
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        has_body: route.has_body,
    };
    let headers = &mut head.headers;
    headers.remove(deadline::HEADER);
    if let Some(timeout) = timeout(headers)? {
        headers.insert(deadline::HEADER, timeout);
    }
    let grpc = http::HeaderValue::from_static("application/grpc");
    headers.insert(http::header::CONTENT_TYPE, grpc);
    headers
        .insert(http::header::TE, http::HeaderValue::from_static("trailers"));
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRANSFER_ENCODING);
    head.method = http::Method::POST;
    head.version = http::Version::HTTP_2;
    head.uri = route
        .grpc_path()
        .parse()
        .map_err(|_| Status::internal("a method's name is no path"))?;
    let body = request::body(route.method.input(), fields, body);
    Ok(http::Request::from_parts(head, body))
}

/// Only a body that says it is JSON is read: a form of somebody else's page
/// cannot say so.
fn check_is_json(headers: &http::HeaderMap) -> Result<(), Status> {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.as_bytes()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    if kind.starts_with(b"application/json") {
        return Ok(());
    }
    Err(Status::invalid_argument(
        "say `content-type: application/json`: the body is JSON",
    ))
}

/// How long the caller waits, as gRPC's header has it.
fn timeout(
    headers: &http::HeaderMap,
) -> Result<Option<http::HeaderValue>, Status> {
    let Some(given) = headers.get(WAITS) else {
        return Ok(None);
    };
    let seconds = given.to_str().ok().and_then(|text| text.parse().ok());
    let seconds: f64 = seconds
        .filter(|seconds| (0.001..=99_999.0).contains(seconds))
        .ok_or_else(|| {
            Status::invalid_argument(format!(
                "`{WAITS}` is a number of seconds, .001 to 99999"
            ))
        })?;
    let milliseconds = format!("{}m", (seconds * 1_000.0) as u64);
    Ok(milliseconds.parse().ok())
}
