//! What every process does: settings, telemetry, TLS, tokens, health,
//! reflection, serve → drain. Knows none of the product's own types.

// How a process starts.
/// Reads a service's settings: its defaults, a file, the environment.
mod settings;
/// Writes logs to standard error, as text or JSON.
pub mod telemetry;
/// Chooses the process's TLS provider.
mod tls;

// How it serves.
/// Checks who calls, and what they may call.
mod access;
/// Reads a port's certificate, and again when it changes.
mod certificate;
/// Accepts a port's connections, within bounds.
mod incoming;
/// Tells Prometheus how the process fares.
mod metrics;
/// Counts who is inside, by address.
mod places;
/// Says where to listen, with which TLS and which token.
mod port;
/// Opens a port, serves it, drains it.
mod serve;
/// Makes one cancellation of SIGTERM and SIGINT.
mod shutdown;
/// Counts calls, those of the last minute and all.
mod traffic;
/// Reads and writes a connection, encrypted or not.
mod wire;

// How it answers.
/// Reads how long a caller waits.
mod deadline;
/// Takes HTTP with JSON for gRPC.
mod http;
/// Makes the status that a client sees of an error.
mod status;

// How it asks others.
/// Sends a bearer token with each call.
mod auth;
/// Connects to one of the services.
pub mod client;

pub use access::{Access, Holder};
pub use deadline::deadline;
pub use http::{check_origin, openapi};
pub use metrics::{
    BoundMetrics, Kind, Measure, Measurement, Metrics, MetricsSettings, Reading,
};
pub use port::{NamedToken, Port, PortError, Tls};
pub use serve::{Api, Bound, Health, Lifecycle, serve, serve_pages};
pub use settings::{SettingsError, load};
pub use shutdown::shutdown_on_signal;
pub use status::{chain, status};
pub use tls::install_tls_provider;
pub use traffic::{MethodTraffic, Traffic};
