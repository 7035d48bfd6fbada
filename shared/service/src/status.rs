//! What a client sees of an error, and what the log keeps of it.

use std::error::Error;

use tonic::{Code, Status};

/// Makes the status that a client gets: the error's top line. The server logs
/// the whole chain once; what the caller did wrong is no event for the
/// operator.
pub fn status(code: Code, error: &dyn Error) -> Status {
    match code {
        Code::Internal | Code::Unavailable | Code::DataLoss | Code::Unknown => {
            tracing::error!(?code, error = chain(error), "a call failed");
        }
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => {
            tracing::debug!(?code, error = chain(error), "a call was refused")
        }
    }
    Status::new(code, error.to_string())
}

/// Joins an error and its causes into one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
