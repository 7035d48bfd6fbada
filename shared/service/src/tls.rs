//! The process's TLS provider.

/// Makes `ring` the process's TLS provider; call it first in `main`.
pub fn install_tls_provider() {
    // An error means that a provider is installed already, which is what is
    // wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
