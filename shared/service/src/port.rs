//! One listening port: where, with which TLS and which token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tonic::transport::{Identity, ServerTlsConfig};

/// Settings of a listening port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Where to listen: address and port; 127.0.0.1 unless there is a reason.
    pub address: SocketAddr,
    /// Static bearer token that every call must carry; empty: none.
    #[serde(default)]
    pub token: String,
    /// Certificate and key for TLS; absent: plain text.
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
    /// The file with the certificate chain.
    pub certificate: PathBuf,
    /// The file with the private key.
    pub key: PathBuf,
}

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The port would be reachable by anybody.
    #[error(
        "{address} is reachable from other machines: set `tls` and `token`, or `insecure = true`"
    )]
    Exposed {
        /// The address that the settings ask for.
        address: SocketAddr,
    },
    /// Another process has the address, or this one may not have it.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that the settings ask for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file that the settings name.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Shows everything but the token, which is a secret.
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

    /// The server's side of TLS; `None` where the port is in plain text.
    pub(crate) fn tls_config(
        &self,
    ) -> Result<Option<ServerTlsConfig>, PortError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let certificate = read(&tls.certificate)?;
        let key = read(&tls.key)?;
        let identity = Identity::from_pem(certificate, key);
        Ok(Some(ServerTlsConfig::new().identity(identity)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PortError> {
    std::fs::read(path).map_err(|source| PortError::Read {
        path: path.to_owned(),
        source,
    })
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
