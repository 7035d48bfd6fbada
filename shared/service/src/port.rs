//! One listening port: where, with which TLS and which token.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tonic::transport::{Identity, ServerTlsConfig};

/// Settings of a listening port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Address and port; 127.0.0.1 unless there is a reason.
    pub address: SocketAddr,
    /// Static bearer token that every call must carry; empty: none.
    #[serde(default)]
    pub token: String,
    /// Certificate and key; absent: plain text.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Allow another address than the local machine's without TLS and token.
    #[serde(default)]
    pub insecure: bool,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Would be reachable by anybody.
    #[error(
        "{address} is reachable from other machines: set `tls` and `token`, or `insecure = true`"
    )]
    Exposed {
        /// Where.
        address: SocketAddr,
    },
    /// Somebody else has it, or it is not ours to have.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Without the token.
impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Port {
    /// Refuses what would be open to the world by accident.
    pub(crate) fn check(&self) -> Result<(), PortError> {
        let is_protected = self.tls.is_some() && !self.token.is_empty();
        if self.address.ip().is_loopback() || is_protected || self.insecure {
            return Ok(());
        }
        Err(PortError::Exposed {
            address: self.address,
        })
    }

    pub(crate) fn tls_config(&self) -> Result<Option<ServerTlsConfig>, PortError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| PortError::Read {
                path: path.clone(),
                source,
            })
        };
        let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
        Ok(Some(ServerTlsConfig::new().identity(identity)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_others_can_reach_needs_tls_and_a_token_or_a_word() {
        let port = |address: &str| Port {
            address: address.parse().unwrap(),
            token: String::new(),
            tls: None,
            insecure: false,
        };
        assert!(port("127.0.0.1:1").check().is_ok());
        assert!(port("0.0.0.0:1").check().is_err());
        assert!(
            Port {
                token: "t".into(),
                ..port("0.0.0.0:1")
            }
            .check()
            .is_err()
        );
        assert!(
            Port {
                insecure: true,
                ..port("0.0.0.0:1")
            }
            .check()
            .is_ok()
        );
        let tls = Some(Tls {
            certificate: "c".into(),
            key: "k".into(),
        });
        assert!(
            Port {
                token: "t".into(),
                tls,
                ..port("0.0.0.0:1")
            }
            .check()
            .is_ok()
        );
    }
}
