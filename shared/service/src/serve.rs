//! Bind, serve, and on shutdown: not ready, stop accepting, drain within the
//! grace period, leave.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::access::{Access, RoleCheck};
use crate::incoming::Incoming;
use crate::port::{Port, PortError};

/// A port that is open but not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    port: Port,
}

impl Bound {
    /// Opens the port; one that would be exposed by accident is refused.
    pub async fn bind(port: &Port) -> Result<Self, PortError> {
        port.check()?;
        let listener = TcpListener::bind(port.address).await;
        Ok(Self {
            listener: listener.map_err(|source| PortError::Bind {
                address: port.address,
                source,
            })?,
            port: port.clone(),
        })
    }

    /// The address that clients find it at, with the real port when port 0 was
    /// asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.port.address)
    }
}

/// Says whether a process can take requests (`grpc.health.v1`, service name
/// empty).
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// A health that is not ready until [`Health::set_ready`] says so.
    pub async fn new() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.set_ready(false).await;
        health
    }

    /// Says from now on that the process can, or cannot, take requests.
    pub async fn set_ready(&self, is_ready: bool) {
        let status = if is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status("", status).await;
    }
}

/// How a server's time ends: all ports of a process share it.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Told "not ready" as soon as the shutdown begins.
    pub health: Health,
    /// Cancelled when the process is to leave.
    pub shutdown: CancellationToken,
    /// How long calls may go on after that.
    pub grace: Duration,
}

/// What a port's services are.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    /// Their descriptions, for reflection.
    pub descriptors: &'static [u8],
    /// Which roles may call which of their methods.
    pub access: Access,
}

/// Serves `routes` with health and reflection until the shutdown, then drains
/// for at most the grace period.
///
/// # Errors
/// When the certificate, a key or a token cannot be used, or the port fails.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    api: Api,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let Lifecycle {
        health,
        shutdown,
        grace,
    } = lifecycle;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api.descriptors)
            .register_encoded_file_descriptor_set(
                tonic_health::pb::FILE_DESCRIPTOR_SET,
            )
    };
    let v1 = reflection().build_v1()?.max_decoding_message_size(SHORT);
    let v1alpha = reflection().build_v1alpha()?;
    let v1alpha = v1alpha.max_decoding_message_size(SHORT);
    let health_service =
        HealthService::from_health_reporter(health.reporter.clone());
    let health_service =
        HealthServer::new(health_service).max_decoding_message_size(NAME);
    let routes = routes
        .add_service(health_service)
        .add_service(v1)
        // What Postman and Python's reflection client speak.
        .add_service(v1alpha);
    let check = RoleCheck::of(&bound.port, api.access)?;
    let mut server = server(&bound.port)?.layer(check);
    tracing::info!(address = %bound.address(), tls = bound.port.tls.is_some(), "serving");
    let leaving = shutdown.clone();
    let stop = async move {
        leaving.cancelled().await;
        health.set_ready(false).await;
    };
    let incoming = Incoming::new(bound.listener);
    let served = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop);
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = served => result?,
        () = too_late => tracing::warn!(?grace, "some calls did not end within the grace period"),
    }
    Ok(())
}

/// A server with the port's TLS, if it has any.
fn server(port: &Port) -> anyhow::Result<Server> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(MAX_GIVEN_UP))
        .max_concurrent_streams(Some(MOST_STREAMS))
        .timeout(LONGEST_CALL);
    Ok(match port.tls_config()? {
        Some(tls) => server.tls_config(tls.timeout(HANDSHAKE))?,
        None => server,
    })
}

/// Bytes of a question for a service's health: what half a message of an
/// outsider can hold in memory, for a few seconds.
const NAME: usize = 512;
/// Bytes of a question to reflection.
const SHORT: usize = 16 << 10;

/// Calls at a time on one connection; a client waits with further ones.
const MOST_STREAMS: u32 = 200;

/// How long a call may take until its answer begins: longer than any that is
/// meant, such as a lease's wait or the check of a large model's bytes.
const LONGEST_CALL: Duration = Duration::from_secs(600);

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Calls that a client may give up before they are looked at; with more its
/// connection is closed. Under load many deadlines pass at once, and h2's 20
/// would take the calls down that are still in time.
const MAX_GIVEN_UP: usize = 4_096;

/// Pause between two pings, which find out that a peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
