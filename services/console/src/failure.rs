//! What a visitor sees of a failure: what is wrong and what to do, or the way
//! to log in.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use tonic::{Code, Status};

use crate::view::layout::aside;

/// A page that cannot be shown.
#[derive(Debug)]
pub(crate) struct Failure(Status);

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status) = self;
        let (code, title) = match status.code() {
            Code::Unauthenticated => {
                return Redirect::to("/login").into_response();
            }
            Code::PermissionDenied => {
                (StatusCode::FORBIDDEN, "You may not do that")
            }
            Code::NotFound => (StatusCode::NOT_FOUND, "There is no such thing"),
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::Aborted => (StatusCode::BAD_REQUEST, "That cannot be done"),
            Code::ResourceExhausted => {
                (StatusCode::TOO_MANY_REQUESTS, "Too much at the moment")
            }
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unimplemented => {
                (StatusCode::BAD_GATEWAY, "A service does not answer")
            }
            Code::Ok | Code::Internal | Code::Unknown | Code::DataLoss => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Something failed")
            }
        };
        let page = aside(
            title,
            &html! {
                h1 { (title) }
                p.wrong { (said(&status)) }
            },
        );
        (code, page).into_response()
    }
}

/// What a status says to people.
pub(crate) fn said(status: &Status) -> String {
    match status.message() {
        "" => format!("{:?}", status.code()),
        message => message.to_owned(),
    }
}
