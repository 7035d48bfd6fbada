//! What every request passes. Pages of other sites are refused, a visitor gets
//! the key that their forms repeat, and browsers are told to load nothing from
//! elsewhere.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::failure::Failure;
use crate::visitor::{FORM_KEY, FormKey, cookie, set_cookie};

/// How long a visitor's form key lasts from their first page, in seconds: a
/// day. Forms that are open then are refused.
const FORM_SECONDS: u32 = 86_400;

/// Nothing is loaded from elsewhere, no script stands in a page, and no page of
/// ours is inside another.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Whether the console can be reached from other machines. There a name in a
/// request's `Host` may be any; on the local machine a name that is not the
/// machine's own was pointed here by somebody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) is_local: bool,
    /// Whether the port itself speaks TLS.
    pub(crate) is_encrypted: bool,
}

pub(crate) async fn guard(
    reach: Reach,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = service::check_origin(
        request.uri(),
        request.headers(),
        !reach.is_local,
    );
    if let Err(status) = asked {
        return Failure::from(status).into_response();
    }
    let is_encrypted = reach.is_encrypted || is_forwarded_encrypted(&request);
    let known = cookie(request.headers(), FORM_KEY);
    let is_new = known.is_none();
    let key = known.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    request.extensions_mut().insert(FormKey(key.clone()));
    let is_part = request.headers().contains_key("hx-request");
    let mut response = next.run(request).await;
    if is_part && response.status().is_redirection() {
        // A whole page would be put inside another one.
        response = lead_to_login();
    }
    let headers = response.headers_mut();
    // What a cache may keep is everybody's.
    let is_page = !headers.contains_key(header::CACHE_CONTROL);
    if is_new
        && is_page
        && let Ok(cookie) = set_cookie(FORM_KEY, &key, FORM_SECONDS).parse()
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    if is_encrypted {
        keep_to_encrypted(headers);
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What a page shows is of its visitor and of this moment.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Tells htmx to show the page to log in.
fn lead_to_login() -> Response {
    ([("hx-redirect", "/login")], StatusCode::OK).into_response()
}

/// Whether what is before the console says that the browser speaks TLS.
fn is_forwarded_encrypted(request: &Request) -> bool {
    let forwarded = request.headers().get("x-forwarded-proto");
    forwarded.is_some_and(|it| it == "https")
}

/// Browsers then send no cookie of ours in plain text.
fn keep_to_encrypted(headers: &mut HeaderMap) {
    let mut cookies = Vec::new();
    for cookie in headers.get_all(header::SET_COOKIE) {
        if let Ok(text) = cookie.to_str() {
            cookies.push(format!("{text}; Secure"));
        }
    }
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        if let Ok(cookie) = cookie.parse() {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}
