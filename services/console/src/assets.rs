//! What browsers load beside the pages, from inside the binary.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Browsers ask again after an hour: a new program has new files.
const FRESH: &str = "public, max-age=3600";

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "style.css" => (CSS, include_str!("../assets/style.css")),
        "console.js" => (JAVASCRIPT, include_str!("../assets/console.js")),
        "htmx.min.js" => (JAVASCRIPT, include_str!("../assets/htmx.min.js")),
        "uplot.min.js" => (JAVASCRIPT, include_str!("../assets/uplot.min.js")),
        "uplot.min.css" => (CSS, include_str!("../assets/uplot.min.css")),
        "icon.svg" => ("image/svg+xml", include_str!("../assets/icon.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FRESH)];
    (headers, text).into_response()
}
