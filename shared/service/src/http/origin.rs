//! Whose page a browser's request comes from. A port on the local machine that
//! wants no token would else be open to every page that its user looks at.

use std::net::{Ipv4Addr, Ipv6Addr};

use tonic::Status;
use tonic::codegen::http::{HeaderMap, Uri, header};

/// Refuses a request that a page of another host made and, unless the port
/// may have any name, one for a name that somebody else's domain server may
/// have pointed here.
///
/// # Errors
/// `PERMISSION_DENIED` with what to do.
pub fn check_origin(
    uri: &Uri,
    headers: &HeaderMap,
    has_any_name: bool,
) -> Result<(), Status> {
    for name in [header::HOST, header::ORIGIN] {
        if headers.get_all(&name).iter().count() > 1 {
            return Err(Status::invalid_argument(format!(
                "the request has several headers `{name}`"
            )));
        }
    }
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    if let (Some(host), Some(authority)) = (host, uri.authority())
        && host != authority.as_str()
    {
        return Err(Status::invalid_argument(
            "the request is for one host and names another",
        ));
    }
    // HTTP/2 has it in the address.
    let host = host.or_else(|| uri.authority().map(|it| it.as_str()));
    let Some(host) = host else {
        return Err(Status::invalid_argument("the request names no host"));
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let from = origin.split_once("://").map(|(_, from)| from);
        if from != Some(host) {
            return Err(Status::permission_denied(format!(
                "pages of {origin} may not call this port: let their own server call it"
            )));
        }
    }
    if has_any_name || is_local_name(host) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "this port answers to its address and to localhost, not to {host}"
    )))
}

/// Whether a host, with or without a port, is an address or `localhost`.
fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let inner = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_address = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    };
    name.eq_ignore_ascii_case("localhost") || is_address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(host: &str, origin: &str, wants_token: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if !origin.is_empty() {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check_origin(&Uri::from_static("/v1/jobs"), &headers, wants_token)
            .is_ok()
    }

    #[test]
    fn a_request_is_for_one_host() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "127.0.0.1:1".parse().unwrap());
        let elsewhere = Uri::from_static("http://evil.example/v1/jobs");
        assert!(check_origin(&elsewhere, &headers, true).is_err());
        headers.append(header::HOST, "evil.example".parse().unwrap());
        let here = Uri::from_static("/v1/jobs");
        assert!(check_origin(&here, &headers, true).is_err());
    }

    #[test]
    fn other_peoples_pages_are_refused() {
        assert!(is_let_in("127.0.0.1:7070", "", false));
        assert!(is_let_in("[::1]:7070", "", false));
        assert!(is_let_in("localhost:7070", "http://localhost:7070", false));
        assert!(!is_let_in("127.0.0.1:7070", "https://evil.example", false));
        assert!(!is_let_in("127.0.0.1:7070", "null", true));
        // A name that was pointed here after the page had been loaded.
        let rebound = "http://evil.example:7070";
        assert!(!is_let_in("evil.example:7070", rebound, false));
        assert!(is_let_in("scorer.internal:7070", "", true));
        assert!(is_let_in("LOCALHOST", "", false));
        assert!(!is_let_in("[[127.0.0.1]:7070", "", false));
    }
}
