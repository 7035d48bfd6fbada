//! A status as a problem (RFC 9457, `application/problem+json`): the same code,
//! message and details, and `Retry-After` where it is worth coming back.

use bytes::Bytes;
use serde::Serialize;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response, StatusCode, header};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::response::whole;

/// What a refused caller reads.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// The HTTP status in words.
    title: &'static str,
    status: u16,
    /// The name of gRPC's code, such as `INVALID_ARGUMENT`.
    code: &'static str,
    detail: String,
    /// Each wrong field, where the request was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
    /// When it is worth coming back, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Violation {
    field: String,
    description: String,
}

impl Problem {
    pub(super) fn of(status: &Status) -> Self {
        Self::with(status, http_status(status.code()))
    }

    fn with(status: &Status, http: StatusCode) -> Self {
        let violations = status.get_details_bad_request();
        let violations = violations.map(|bad| bad.field_violations);
        let violations = violations.unwrap_or_default().into_iter();
        let retry = status.get_details_retry_info();
        Self {
            title: http.canonical_reason().unwrap_or("Client Closed Request"),
            status: http.as_u16(),
            code: name(status.code()),
            detail: status.message().to_owned(),
            violations: violations
                .map(|violation| Violation {
                    field: violation.field,
                    description: violation.description,
                })
                .collect(),
            retry_after_s: retry
                .and_then(|retry| retry.retry_delay)
                .map(|delay| delay.as_secs_f64()),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a problem is plain text and numbers")
    }
}

/// The whole answer to a request that is refused.
pub(super) fn response(status: &Status) -> Response<Body> {
    response_as(status, http_status(status.code()))
}

/// The same, with another status of HTTP than the code's own.
pub(super) fn response_as(status: &Status, http: StatusCode) -> Response<Body> {
    let problem = Problem::with(status, http);
    let json = Bytes::from(problem.to_json());
    let mut response = whole("application/problem+json", json);
    *response.status_mut() = http;
    let headers = response.headers_mut();
    if let Some(seconds) = problem.retry_after_s {
        // The header takes whole seconds; the problem has the fraction.
        let seconds = HeaderValue::from(seconds.ceil() as u64);
        headers.insert(header::RETRY_AFTER, seconds);
    }
    if status.code() == Code::Unauthenticated {
        let bearer = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}

/// As `google.rpc.Code` maps to HTTP; `OUT_OF_RANGE` is what tonic answers to
/// a message that is too large.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition => {
            StatusCode::BAD_REQUEST
        }
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => StatusCode::from_u16(499).expect("499 is a status"),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal | Code::Unknown | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_problem_says_what_the_status_says() {
        let mut details =
            ErrorDetails::with_retry_info(Some(Duration::from_millis(1_200)));
        details.add_bad_request_violation("k", "must be 1 to 1000");
        let status = Status::with_error_details(
            Code::ResourceExhausted,
            "too much",
            details,
        );
        let response = response(&status);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "2");
        let problem: serde_json::Value =
            serde_json::from_slice(&Problem::of(&status).to_json()).unwrap();
        assert_eq!(problem["code"], "RESOURCE_EXHAUSTED");
        assert_eq!(problem["detail"], "too much");
        assert_eq!(problem["violations"][0]["field"], "k");
        assert_eq!(problem["retry_after_s"], 1.2);
    }
}
