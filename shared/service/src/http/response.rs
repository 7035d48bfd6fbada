//! What every answer over HTTP says beside its body.

use bytes::Bytes;
use http_body_util::Full;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response, header};

/// An answer that is there as a whole.
pub(super) fn whole(media_type: &'static str, body: Bytes) -> Response<Body> {
    with_type(media_type, Body::new(Full::new(body)))
}

/// An answer whose body may still come.
pub(super) fn with_type(
    media_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
