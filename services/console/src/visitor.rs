//! Who asks: the tokens that they logged in with, and whether a form that they
//! send is one of ours.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use percent_encoding::{
    NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};
use subtle::ConstantTimeEq;
use tonic::Status;

use crate::backend::{Backend, Services};
use crate::failure::Failure;

/// The cookie with the coordinator's token.
pub(crate) const COORDINATOR: &str = "cllm4rec_coordinator";
/// The cookie with the scorer's token.
pub(crate) const SCORER: &str = "cllm4rec_scorer";
/// The cookie whose value every form has to repeat.
pub(crate) const FORM_KEY: &str = "cllm4rec_form";

/// The tokens of a visitor; empty where they gave none.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) coordinator: String,
    pub(crate) scorer: String,
}

/// What every form of a visitor has to repeat: nobody else's page knows it.
#[derive(Debug, Clone)]
pub(crate) struct FormKey(pub(crate) String);

/// Who asks for a page.
pub(crate) struct Visitor {
    pub(crate) services: Services,
    pub(crate) backend: Backend,
    /// Whether they logged in.
    pub(crate) has_token: bool,
    pub(crate) form_key: FormKey,
    /// The path and the query that they asked for.
    pub(crate) place: String,
}

impl Visitor {
    /// Refuses a form that is not one of ours.
    pub(crate) fn check(&self, form_key: &str) -> Result<(), Failure> {
        let ours = self.form_key.0.as_bytes();
        if bool::from(ours.ct_eq(form_key.as_bytes())) {
            return Ok(());
        }
        Err(Failure::from(Status::permission_denied(
            "the form is not from this page, or too old: go back, load the page again, and send it once more",
        )))
    }
}

impl FromRequestParts<Backend> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        backend: &Backend,
    ) -> Result<Self, Failure> {
        let form_key = parts.extensions.get::<FormKey>();
        let form_key = form_key.cloned().ok_or_else(|| {
            Status::internal("the request did not pass the guard")
        })?;
        let coordinator = cookie(&parts.headers, COORDINATOR);
        let tokens = Tokens {
            scorer: cookie(&parts.headers, SCORER)
                .or_else(|| coordinator.clone())
                .unwrap_or_default(),
            coordinator: coordinator.unwrap_or_default(),
        };
        let place = parts.uri.path_and_query();
        let services = backend.services(&tokens).map_err(|error| {
            Status::unauthenticated(format!(
                "the token cannot be sent: {error}"
            ))
        })?;
        Ok(Self {
            services,
            backend: backend.clone(),
            has_token: !tokens.coordinator.is_empty(),
            form_key,
            place: place.map_or("/", |place| place.as_str()).to_owned(),
        })
    }
}

/// Bytes of a cookie's value: more cannot be sent in a header of a call.
const LONGEST: usize = 4_096;

/// A cookie's value; `None` where it is absent, empty or too long.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    for header in headers.get_all(header::COOKIE) {
        let Ok(cookies) = header.to_str() else {
            continue;
        };
        for pair in cookies.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if key == name && (1..=LONGEST).contains(&value.len()) {
                let value = percent_decode_str(value).decode_utf8().ok()?;
                return Some(value.into_owned());
            }
        }
    }
    None
}

/// How a browser is told to keep a value for this site's own pages and requests
/// alone, out of reach of scripts.
pub(crate) fn set_cookie(name: &str, value: &str, seconds: u32) -> String {
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    format!(
        "{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        let token = "a b;c=\"d\", ü";
        let set = set_cookie(COORDINATOR, token, 60);
        let (pair, rest) = set.split_once("; ").unwrap();
        assert!(rest.contains("HttpOnly") && rest.contains("SameSite=Strict"));
        let mut headers = HeaderMap::new();
        let cookies = format!("other=1; {pair}");
        headers.insert(header::COOKIE, cookies.parse().unwrap());
        assert_eq!(cookie(&headers, COORDINATOR).as_deref(), Some(token));
        assert_eq!(cookie(&headers, SCORER), None);
    }
}
