//! A port's certificate, read again when its files change: a new one needs no
//! restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::port::{PortError, Tls};

/// Pause between two looks at the files.
const PAUSE: Duration = Duration::from_secs(2);

/// Bytes of a file with a chain of certificates, or a key.
const LARGEST: u64 = 1 << 20;

/// The server's side of TLS with a port's certificate, for HTTP/2 and HTTP/1.1.
///
/// # Errors
/// A file cannot be read, holds nothing of its kind, or the two do not belong
/// together.
pub(crate) fn server_config(tls: &Tls) -> Result<ServerConfig, PortError> {
    // First: files that are replaced meanwhile are looked at again.
    let times = times(tls);
    let certificate = Certificate {
        state: Mutex::new(State {
            current: Arc::new(read(tls)?),
            times,
            looked: Instant::now(),
        }),
        files: tls.clone(),
    };
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificate that is in use.
#[derive(Debug)]
struct Certificate {
    state: Mutex<State>,
    files: Tls,
}

#[derive(Debug)]
struct State {
    current: Arc<CertifiedKey>,
    /// When the files were written that it is from.
    times: Times,
    looked: Instant,
}

/// When certificate and key were written; absent where a file cannot be looked
/// at.
type Times = [Option<SystemTime>; 2];

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= PAUSE {
            state.looked = Instant::now();
            state.look(&self.files);
        }
        Some(Arc::clone(&state.current))
    }
}

impl State {
    /// Takes the files' certificate where they have changed; goes on with the
    /// one in use while they are no pair.
    fn look(&mut self, files: &Tls) {
        let times = times(files);
        if times == self.times {
            return;
        }
        match read(files) {
            Ok(pair) => {
                self.current = Arc::new(pair);
                tracing::info!(certificate = %files.certificate.display(), "a new certificate is in use");
            }
            Err(error) => {
                let error = crate::chain(&error);
                tracing::error!(%error, "the new certificate cannot be used: the one before stays");
            }
        }
        self.times = times;
    }
}

fn times(files: &Tls) -> Times {
    let written = |path: &Path| path.metadata()?.modified();
    [&files.certificate, &files.key].map(|path| written(path).ok())
}

fn read(files: &Tls) -> Result<CertifiedKey, PortError> {
    let unusable = |path: &Path, reason: String| PortError::Certificate {
        path: path.to_owned(),
        reason,
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes(&files.certificate)?).collect();
    let chain = chain
        .map_err(|error| unusable(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        let reason = "it has no certificate".to_owned();
        return Err(unusable(&files.certificate, reason));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|error| unusable(&files.key, error.to_string()))?;
    let key = any_supported_type(&key)
        .map_err(|error| unusable(&files.key, error.to_string()))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        // Some keys do not say which certificate they belong to.
        Err(rustls::Error::InconsistentKeys(
            rustls::InconsistentKeys::Unknown,
        )) => Ok(pair),
        Err(error) => Err(unusable(&files.key, error.to_string())),
    }
}

fn bytes(path: &PathBuf) -> Result<Vec<u8>, PortError> {
    let unreadable = |source| PortError::Read {
        path: path.clone(),
        source,
    };
    let metadata = path.metadata().map_err(unreadable)?;
    // It is read while somebody waits: nothing that could block, or is large.
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(PortError::Certificate {
            path: path.clone(),
            reason: format!("it is no file of at most {LARGEST} bytes"),
        });
    }
    std::fs::read(path).map_err(unreadable)
}
