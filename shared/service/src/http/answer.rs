//! What a method answers, as JSON: one message, or a line or an event for each
//! message of a stream.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response, header};
use tonic::{Code, Status};

use super::problem::{self, Problem};
use super::response::{whole, with_type};

/// Bytes before each message of gRPC: whether it is compressed, its length.
const HEAD: usize = 5;

/// After so long without a message an empty line is sent, so that a caller who
/// has gone is noticed and proxies keep the connection.
const PAUSE: Duration = Duration::from_secs(15);

/// How the messages of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A line of JSON each (`application/x-ndjson`); a problem is an object
    /// with `error`.
    Lines,
    /// A server-sent event each (`text/event-stream`); a problem is one of type
    /// `error`.
    Events,
}

impl Form {
    /// What the caller prefers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
            Self::Events
        } else {
            Self::Lines
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn message(self, json: &[u8]) -> Bytes {
        let json = String::from_utf8_lossy(json);
        Bytes::from(match self {
            Self::Lines => format!("{json}\n"),
            Self::Events => format!("data: {json}\n\n"),
        })
    }

    fn nothing(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Lines => b"\n",
            Self::Events => b":\n\n",
        })
    }

    fn problem(self, status: &Status) -> Bytes {
        let json = Problem::of(status).to_json();
        let json = String::from_utf8_lossy(&json);
        Bytes::from(match self {
            Self::Lines => format!("{{\"error\":{json}}}\n"),
            Self::Events => format!("event: error\ndata: {json}\n\n"),
        })
    }
}

/// The answer of a method that gives one message.
pub(super) async fn unary(
    output: MessageDescriptor,
    answer: Response<Body>,
) -> Response<Body> {
    match message(output, answer).await {
        Ok(json) => whole("application/json", json.into()),
        Err(status) => problem::response(&status),
    }
}

async fn message(
    output: MessageDescriptor,
    answer: Response<Body>,
) -> Result<Vec<u8>, Status> {
    refused(answer.headers())?;
    let collected = answer.into_body().collect().await?;
    refused(collected.trailers().unwrap_or(&HeaderMap::new()))?;
    let bytes = collected.to_bytes();
    let Some(message) = bytes.get(HEAD..) else {
        return Err(Status::internal("the method gave no answer"));
    };
    json(output, message)
}

/// The answer of a method that gives a stream; what refuses it at once is a
/// problem.
pub(super) fn streaming(
    output: MessageDescriptor,
    answer: Response<Body>,
    form: Form,
) -> Response<Body> {
    if let Err(status) = refused(answer.headers()) {
        return problem::response(&status);
    }
    let messages = Messages {
        output,
        form,
        body: answer.into_body(),
        heard: BytesMut::new(),
        ready: VecDeque::new(),
        is_over: false,
    };
    let body = StreamBody::new(messages.frames());
    with_type(form.media_type(), Body::new(body))
}

/// The status that headers or trailers tell, where it is a refusal.
fn refused(headers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        None => Ok(()),
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status)
            if status.code() == Code::Unimplemented
                && status.message().is_empty() =>
        {
            Err(Status::unimplemented(
                "this port does not serve the method: another service's does",
            ))
        }
        Some(status) => Err(status),
    }
}

fn json(output: MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let message = DynamicMessage::decode(output, bytes)
        .map_err(|error| Status::internal(error.to_string()))?;
    // Names as in the definition and its documentation; lists and numbers are
    // there also where they are empty.
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    let mut json = Vec::with_capacity(2 * bytes.len());
    let mut writer = serde_json::Serializer::new(&mut json);
    message
        .serialize_with_options(&mut writer, &options)
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(json)
}

/// The messages of a stream, as they come.
struct Messages {
    output: MessageDescriptor,
    form: Form,
    body: Body,
    /// Bytes of messages that are not whole yet.
    heard: BytesMut,
    ready: VecDeque<Bytes>,
    is_over: bool,
}

impl Messages {
    fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Status>> {
        stream::unfold(self, |mut messages| async move {
            let bytes = messages.next().await?;
            Some((Ok(Frame::data(bytes)), messages))
        })
    }

    /// The next message; `None` after the last one.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.is_over {
                return None;
            }
            match tokio::time::timeout(PAUSE, self.hear()).await {
                Ok(Ok(())) => {}
                Ok(Err(status)) => {
                    self.is_over = true;
                    self.ready.push_back(self.form.problem(&status));
                }
                Err(_) => self.ready.push_back(self.form.nothing()),
            }
        }
    }

    /// Takes in what comes next.
    async fn hear(&mut self) -> Result<(), Status> {
        let Some(frame) = self.body.frame().await else {
            self.is_over = true;
            return Ok(());
        };
        let frame = frame?;
        match frame.into_data() {
            Ok(data) => {
                self.heard.extend_from_slice(&data);
                while let Some(message) = whole_message(&mut self.heard) {
                    let json = json(self.output.clone(), &message)?;
                    self.ready.push_back(self.form.message(&json));
                }
                Ok(())
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => refused(&trailers),
                Err(_) => Ok(()),
            },
        }
    }
}

/// Takes the first message off, where it is whole.
fn whole_message(heard: &mut BytesMut) -> Option<Bytes> {
    let mut head = heard.get(1..HEAD)?;
    let n = head.get_u32() as usize;
    if heard.len() < HEAD + n {
        return None;
    }
    heard.advance(HEAD);
    Some(heard.split_to(n).freeze())
}
