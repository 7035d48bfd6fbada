//! Bad input as a gRPC status with rich details.

use std::time::Duration;

use domain::Invalid;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Makes an `INVALID_ARGUMENT` with a `google.rpc.BadRequest` that names every
/// wrong field.
pub fn invalid_argument(invalid: &Invalid) -> Status {
    let mut details = ErrorDetails::new();
    for violation in &invalid.0 {
        details.add_bad_request_violation(&violation.field, &violation.reason);
    }
    Status::with_error_details(
        Code::InvalidArgument,
        invalid.to_string(),
        details,
    )
}

/// When a status says it is worth trying again.
pub fn retry_delay(status: &Status) -> Option<prost_types::Duration> {
    let retry = status.get_details_retry_info()?;
    retry.retry_delay?.try_into().ok()
}

/// Makes a `RESOURCE_EXHAUSTED` with a `google.rpc.RetryInfo`: when it is worth
/// trying again.
pub fn overloaded(message: &str, retry_after: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(retry_after));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}
