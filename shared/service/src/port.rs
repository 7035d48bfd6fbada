//! One listening port: where, with which TLS and which token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use tokio_rustls::TlsAcceptor;

/// Settings of a listening port.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Where to listen: address and port; 127.0.0.1 unless there is a reason.
    pub address: SocketAddr,
    /// Bearer token whose holder may call everything; empty: none.
    #[serde(default)]
    pub token: String,
    /// Further tokens by the names of their holders, each for some roles.
    #[serde(default)]
    pub tokens: BTreeMap<String, NamedToken>,
    /// Certificate and key for TLS; absent: plain text.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Allow plain text on another address than the local machine's, as behind
    /// a mesh that encrypts; calls need the token all the same.
    #[serde(default)]
    pub insecure: bool,
}

/// A token that opens some of a port's methods.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedToken {
    /// The bearer token.
    pub token: String,
    /// The roles of whoever has it: a list, or names with commas between.
    #[serde(deserialize_with = "names")]
    pub roles: Vec<String>,
}

/// Shows everything but the token, which is a secret.
impl std::fmt::Debug for NamedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedToken")
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// The role that may call everything.
pub(crate) const ADMIN: &str = "admin";

/// Whether some roles open what one of them may call.
pub(crate) fn opens(roles: &[String], wanted: &str) -> bool {
    roles.iter().any(|role| role == ADMIN || role == wanted)
}

/// A list, or one text: the environment has no lists.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let text = match Names::deserialize(from)? {
        Names::List(names) => return Ok(names),
        Names::Text(text) => text,
    };
    let names = text.split(',').map(str::trim);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
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
        "{address} is reachable from other machines: set `token`, and `tls` or, where something else encrypts, `insecure = true`"
    )]
    Exposed {
        /// The address that the settings ask for.
        address: SocketAddr,
    },
    /// Visitors' tokens would travel in plain text.
    #[error(
        "{address} is reachable from other machines: set `tls` or, where something else encrypts, `insecure = true`"
    )]
    Unencrypted {
        /// The address that the settings ask for.
        address: SocketAddr,
    },
    /// A token cannot be used.
    #[error("the token `{name}` in `tokens`: {reason}")]
    Token {
        /// Whose it is.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
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
    /// A file is no certificate or key, or the two do not belong together.
    #[error("{path} cannot be used: {reason}")]
    Certificate {
        /// The file that the settings name.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
    /// A token of this port that has all of some roles, for a client in the
    /// same process; empty where there is none.
    pub fn token_with(&self, roles: &[&str]) -> &str {
        if !self.token.is_empty() {
            return &self.token;
        }
        let has = |named: &&NamedToken| {
            roles.iter().all(|role| opens(&named.roles, role))
        };
        let named = self.tokens.values().find(has);
        named.map_or("", |named| &named.token)
    }

    /// Refuses what would be open to the world by accident.
    pub(crate) fn check(&self) -> Result<(), PortError> {
        let is_encrypted = self.tls.is_some() || self.insecure;
        let has_token =
            !self.token.trim().is_empty() || !self.tokens.is_empty();
        let is_protected = is_encrypted && has_token;
        if self.address.ip().is_loopback() || is_protected {
            return Ok(());
        }
        Err(PortError::Exposed {
            address: self.address,
        })
    }

    /// The same for pages, whose visitors bring tokens of their own.
    pub(crate) fn check_pages(&self) -> Result<(), PortError> {
        if !self.token.is_empty() || !self.tokens.is_empty() {
            return Err(PortError::Token {
                name: "token".to_owned(),
                reason: "pages take none: visitors log in with a token of the services".to_owned(),
            });
        }
        let is_encrypted = self.tls.is_some() || self.insecure;
        if self.address.ip().is_loopback() || is_encrypted {
            return Ok(());
        }
        Err(PortError::Unencrypted {
            address: self.address,
        })
    }

    /// The server's side of TLS; `None` where the port is in plain text.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>, PortError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let config = crate::certificate::server_config(tls)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_in_the_same_process_takes_a_token_with_its_roles() {
        let named = |token: &str, roles: &[&str]| NamedToken {
            token: token.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        };
        let mut port = Port {
            address: "127.0.0.1:1".parse().unwrap(),
            token: String::new(),
            tokens: [("a", &["train"][..]), ("b", &["train", "publish"])]
                .map(|(name, roles)| (name.to_owned(), named(name, roles)))
                .into(),
            tls: None,
            insecure: false,
        };
        assert_eq!(port.token_with(&["train"]), "a");
        assert_eq!(port.token_with(&["train", "publish"]), "b");
        assert_eq!(port.token_with(&["worker"]), "");
        port.tokens.insert("c".to_owned(), named("c", &["admin"]));
        assert_eq!(port.token_with(&["worker"]), "c");
        port.token = "owner's".to_owned();
        assert_eq!(port.token_with(&["train"]), "owner's");
    }

    #[test]
    fn a_port_that_others_can_reach_needs_a_token_and_tls_or_insecure() {
        let port = |address: &str| Port {
            address: address.parse().unwrap(),
            token: String::new(),
            tokens: BTreeMap::new(),
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
        let in_plain_text = Port {
            insecure: true,
            ..port("0.0.0.0:1")
        };
        assert!(in_plain_text.check().is_err(), "anybody could call it");
        let with_token = Port {
            token: "t".into(),
            ..in_plain_text
        };
        assert!(with_token.check().is_ok());
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
