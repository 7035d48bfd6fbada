//! Bind, serve, and on shutdown: not ready, stop accepting, drain within the grace period, leave.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::{Port, PortError};

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
        let failed = |source| PortError::Bind {
            address: port.address,
            source,
        };
        let listener = TcpListener::bind(port.address).await.map_err(failed)?;
        Ok(Self {
            listener,
            port: port.clone(),
        })
    }

    /// Where it is; the real port when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.port.address)
    }

    /// The token that calls must carry.
    pub fn token(&self) -> crate::Token {
        crate::Token::required(&self.port.token)
    }
}

/// Says whether a process can take requests (`grpc.health.v1`, service name empty).
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Not ready until [`Health::set_ready`] says so.
    pub async fn new() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.set_ready(false).await;
        health
    }

    /// Ready or not.
    pub async fn set_ready(&self, is_ready: bool) {
        let status = if is_ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status("", status).await;
    }
}

/// Serves `routes` with health and reflection until `shutdown`, then drains for at most `grace`.
pub async fn serve(
    bound: Bound,
    routes: Routes,
    (health, descriptors): (Health, &'static [u8]),
    shutdown: CancellationToken,
    grace: Duration,
) -> anyhow::Result<()> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(descriptors)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let health_service = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(health.reporter.clone()),
    );
    let routes = routes.add_service(health_service).add_service(reflection);
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(MAX_GIVEN_UP))
        .tcp_nodelay(true);
    if let Some(tls) = bound.port.tls_config()? {
        server = server.tls_config(tls)?;
    }
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

/// Calls that a client may give up before they are looked at; with more its connection is closed.
/// Under load many deadlines pass at once, and h2's 20 would take the calls down that are still in
/// time.
const MAX_GIVEN_UP: usize = 4_096;

/// Finds out that a peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
