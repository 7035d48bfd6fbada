//! In and out: the visitor's tokens in cookies that only this site gets.

use axum::Form;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::failure::Failure;
use crate::view::layout::{bare, form_key};
use crate::visitor::{COORDINATOR, SCORER, Visitor, set_cookie};

/// How long a visitor stays inside, in seconds: a working day.
const STAY_SECONDS: u32 = 43_200;

pub(crate) async fn page(visitor: Visitor) -> Markup {
    bare(
        "Log in",
        &html! {
            h1 { "Log in" }
            p { "The services want a token. What you may see and do here is what its roles allow." }
            form.stack method="post" action="/login" {
                (form_key(&visitor))
                // Password managers keep a token under this name.
                input.hidden name="username" value="token" autocomplete="username" readonly tabindex="-1" aria-hidden="true";
                label for="coordinator" { "Token of the coordinator" }
                input type="password" name="coordinator" id="coordinator" required autocomplete="current-password";
                label for="scorer" { "Token of the scorer, if it is another one" }
                input type="password" name="scorer" id="scorer" autocomplete="off";
                button { "Log in" }
            }
        },
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogIn {
    form_key: String,
    coordinator: String,
    scorer: String,
}

pub(crate) async fn log_in(
    visitor: Visitor,
    Form(form): Form<LogIn>,
) -> Result<Response, Failure> {
    visitor.check(&form.form_key)?;
    Ok(with_tokens(form.coordinator.trim(), form.scorer.trim()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogOut {
    form_key: String,
}

pub(crate) async fn log_out(
    visitor: Visitor,
    Form(form): Form<LogOut>,
) -> Result<Response, Failure> {
    visitor.check(&form.form_key)?;
    Ok(with_tokens("", ""))
}

/// To the overview, with these tokens from now on.
fn with_tokens(coordinator: &str, scorer: &str) -> Response {
    let mut cookies = Vec::new();
    for (name, token) in [(COORDINATOR, coordinator), (SCORER, scorer)] {
        let seconds = if token.is_empty() { 0 } else { STAY_SECONDS };
        cookies.push((header::SET_COOKIE, set_cookie(name, token, seconds)));
    }
    (AppendHeaders(cookies), Redirect::to("/")).into_response()
}
