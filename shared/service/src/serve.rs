//! Bind, serve, and on shutdown: not ready, stop accepting, drain within the
//! grace period, leave.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::auth::Token;
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

    /// The token that calls must carry.
    pub fn token(&self) -> Token {
        Token::required(&self.port.token)
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

/// Serves `routes` with health and reflection until the shutdown, then drains
/// for at most the grace period. `descriptors` are the services' descriptions,
/// for reflection.
///
/// # Errors
/// When the certificate or key cannot be used, or the port fails.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    descriptors: &'static [u8],
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let Lifecycle {
        health,
        shutdown,
        grace,
    } = lifecycle;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(descriptors)
        .register_encoded_file_descriptor_set(
            tonic_health::pb::FILE_DESCRIPTOR_SET,
        )
        .build_v1()?;
    let health_service =
        HealthService::from_health_reporter(health.reporter.clone());
    let routes = routes
        .add_service(HealthServer::new(health_service))
        .add_service(reflection);
    let mut server = server(&bound.port)?;
    tracing::info!(address = %bound.address(), tls = bound.port.tls.is_some(), "serving");
    let leaving = shutdown.clone();
    let stop = async move {
        leaving.cancelled().await;
        health.set_ready(false).await;
    };
    let incoming = TcpIncoming::from(bound.listener).with_nodelay(Some(true));
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
        .tcp_nodelay(true);
    Ok(match port.tls_config()? {
        Some(tls) => server.tls_config(tls)?,
        None => server,
    })
}

/// Calls that a client may give up before they are looked at; with more its
/// connection is closed. Under load many deadlines pass at once, and h2's 20
/// would take the calls down that are still in time.
const MAX_GIVEN_UP: usize = 4_096;

/// Pause between two pings, which find out that a peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
