//! Connecting to one of the services.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

pub use crate::auth::SendToken;

/// Where a service is and how to be let in.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where the service listens: `http://…`, or `https://…` with TLS.
    pub url: String,
    /// The bearer token that is sent with every call; empty: none.
    #[serde(default)]
    pub token: String,
    /// Certificate authority to trust instead of the public ones, as a PEM
    /// file.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// Shows everything but the token, which is a secret.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The URL is none, or its TLS settings do not fit it.
    #[error("`{url}` cannot be connected to")]
    Url {
        /// The URL as it was given.
        url: String,
        /// What the transport does not like about it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The certificate authority's file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file that was named.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The token has characters that a header cannot carry.
    #[error("the token cannot be sent in a header")]
    Token(#[source] tonic::metadata::errors::InvalidMetadataValue),
}

/// A channel that carries the token.
pub type Connection = InterceptedService<Channel, SendToken>;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two pings, which find out that a peer is gone without saying
/// so.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A ping may be answered so late: with less, one that is only overloaded is
/// taken for gone, and all calls with it.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is made at the first call and again after every failure.
///
/// # Errors
/// When the target's URL, certificate authority or token cannot be used.
pub fn connect(target: &Target) -> Result<Connection, TargetError> {
    with_token(channel(target)?, &target.token)
}

/// A channel that carries a token; empty: none.
///
/// # Errors
/// When a header cannot carry the token.
pub fn with_token(
    channel: Channel,
    token: &str,
) -> Result<Connection, TargetError> {
    let token = SendToken::new(token).map_err(TargetError::Token)?;
    Ok(InterceptedService::new(channel, token))
}

/// A channel without the target's token, for callers who have tokens of their
/// own.
///
/// # Errors
/// When the target's URL or certificate authority cannot be used.
pub fn channel(target: &Target) -> Result<Channel, TargetError> {
    let mut endpoint = Endpoint::from_shared(target.url.clone())
        .map_err(bad_url(target))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    if target.url.starts_with("https://") {
        let tls = tls_config(target.ca.as_deref())?;
        endpoint = endpoint.tls_config(tls).map_err(bad_url(target))?;
    }
    Ok(endpoint.connect_lazy())
}

/// Whether a call failed in a way that a repeat may not meet: the service is
/// away, late, or lost the race for what it changes. Only a call that may
/// safely happen twice may be repeated.
pub fn is_passing(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Cancelled
        | Code::Unknown => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

fn bad_url(
    target: &Target,
) -> impl FnOnce(tonic::transport::Error) -> TargetError {
    let url = target.url.clone();
    move |source| TargetError::Url { url, source }
}

/// TLS that trusts the given authority, or the public ones.
fn tls_config(ca: Option<&Path>) -> Result<ClientTlsConfig, TargetError> {
    let tls = ClientTlsConfig::new();
    let Some(path) = ca else {
        return Ok(tls);
    };
    let pem = std::fs::read(path).map_err(|source| TargetError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}
