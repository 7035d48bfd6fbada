//! What every process does: settings, telemetry, TLS, tokens, health, reflection, serve → drain.
//! Knows none of the product's own types.

mod auth;
pub mod client;
mod deadline;
mod port;
mod serve;
mod settings;
mod shutdown;
mod status;
pub mod telemetry;

pub use auth::Token;
pub use deadline::deadline;
pub use port::{Port, PortError, Tls};
pub use serve::{Bound, Health, serve};
pub use settings::{SettingsError, load};
pub use shutdown::shutdown_on_signal;
pub use status::{chain, status};

/// Makes `ring` the process's TLS provider; call it first in `main`.
pub fn install_tls_provider() {
    // An error means that a provider is installed already, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
