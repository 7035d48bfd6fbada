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
use crate::http::JsonLayer;
use crate::incoming::Incoming;
use crate::port::{Port, PortError};
use crate::traffic::Traffic;

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
        Self::open(port).await
    }

    /// Opens a port for pages: each visitor brings a token for the services
    /// behind them, so the port has none of its own.
    ///
    /// # Errors
    /// The address is taken, or reachable from other machines without TLS.
    pub async fn bind_pages(port: &Port) -> Result<Self, PortError> {
        port.check_pages()?;
        Self::open(port).await
    }

    async fn open(port: &Port) -> Result<Self, PortError> {
        let listener = TcpListener::bind(port.address).await;
        Ok(Self {
            listener: listener.map_err(|source| PortError::Bind {
                address: port.address,
                source,
            })?,
            port: port.clone(),
        })
    }

    /// What comes in, with the port's TLS, if it has any.
    fn connections(self) -> Result<Incoming, PortError> {
        let address = self.address();
        let tls = self.port.acceptor()?;
        tracing::info!(%address, tls = tls.is_some(), "serving");
        Ok(Incoming::new(self.listener, tls))
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
#[derive(Debug, Clone)]
pub struct Api {
    /// Their descriptions, for reflection.
    pub descriptors: &'static [u8],
    /// Which roles may call which of their methods.
    pub access: Access,
    /// Counts the calls of these methods.
    pub traffic: Traffic,
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
        HealthService::from_health_reporter(lifecycle.health.reporter.clone());
    let health_service =
        HealthServer::new(health_service).max_decoding_message_size(NAME);
    let routes = routes
        .add_service(health_service)
        .add_service(v1)
        // What Postman and Python's reflection client speak.
        .add_service(v1alpha);
    let check = RoleCheck::of(&bound.port, api.access)?;
    let json = JsonLayer::of(api.descriptors, check.clone())?;
    // Calls over HTTP with JSON are counted too, and so are refused ones.
    let router = server()
        .layer(json)
        .layer(api.traffic)
        .layer(check)
        .add_routes(routes);
    let connections = bound.connections()?;
    let stop = stop(&lifecycle);
    let served = router.serve_with_incoming_shutdown(connections, stop);
    until_drained(served, &lifecycle).await
}

/// Serves pages until the shutdown, then drains for at most the grace period.
/// Connections are bounded and may be encrypted as on other ports; who may see
/// what is the pages' own business.
///
/// # Errors
/// When the certificate or key cannot be used, or the port fails.
pub async fn serve_pages(
    bound: Bound,
    pages: Routes,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let router = server().add_routes(pages);
    let connections = bound.connections()?;
    let stop = stop(&lifecycle);
    let served = router.serve_with_incoming_shutdown(connections, stop);
    until_drained(served, &lifecycle).await
}

/// Ends when no further call is to be accepted.
fn stop(lifecycle: &Lifecycle) -> impl Future<Output = ()> + use<> {
    let (leaving, health) =
        (lifecycle.shutdown.clone(), lifecycle.health.clone());
    async move {
        leaving.cancelled().await;
        health.set_ready(false).await;
    }
}

/// Waits for what is served, after the shutdown for no longer than the grace
/// period.
async fn until_drained(
    served: impl Future<Output = Result<(), tonic::transport::Error>>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let grace = lifecycle.grace;
    let too_late = async {
        lifecycle.shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = served => result?,
        () = too_late => tracing::warn!(?grace, "some calls did not end within the grace period"),
    }
    Ok(())
}

/// A server that speaks HTTP/2, for gRPC, and HTTP/1.1, for JSON.
fn server() -> Server {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(MAX_GIVEN_UP))
        .max_concurrent_streams(Some(MOST_STREAMS))
        .timeout(LONGEST_CALL)
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

/// Calls that a client may give up before they are looked at; with more its
/// connection is closed. Under load many deadlines pass at once, and h2's 20
/// would take the calls down that are still in time.
const MAX_GIVEN_UP: usize = 4_096;

/// Pause between two pings, which find out that a peer is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
