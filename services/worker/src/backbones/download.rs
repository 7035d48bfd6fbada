//! Fetches files over HTTP, each whole or with an error, for as long as whoever
//! waits for them wants it. Proxies are those of the environment
//! (`HTTPS_PROXY`), certificates the system's.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::disk;
use crate::error::Error;

/// Files on their way to one folder.
pub(crate) struct Downloads<'a> {
    agent: Agent,
    /// The place where the files will be, for the error that says what to do
    /// by hand.
    place: &'a Path,
    listener: Listener<'a>,
}

/// Hears of each piece that has come; an error ends the download.
pub(crate) type Listener<'a> = &'a dyn Fn(Received) -> Result<(), Error>;

/// How much of a file has come.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes that are there.
    pub n_bytes: u64,
    /// Bytes of the whole file, where the server has said so.
    pub n_all: Option<u64>,
}

/// A server that says nothing for this long is out of reach.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest file that is fetched: GPT-2 XL in f32 has 6.4 GB.
const MAX_BYTES: u64 = 16 << 30;
/// The largest page that is read.
const MAX_PAGE_BYTES: u64 = 16 << 20;
/// Bytes between two calls of the listener.
const CHUNK_BYTES: u64 = 1 << 20;

impl<'a> Downloads<'a> {
    /// Downloads of files that will be in `place`.
    pub(crate) fn new(place: &'a Path, listener: Listener<'a>) -> Self {
        let tls = TlsConfig::builder().root_certs(root_certs()).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .new_agent();
        Self {
            agent,
            place,
            listener,
        }
    }

    /// Writes what is at an address to a file.
    pub(crate) fn file(&self, url: &str, path: &Path) -> Result<(), Error> {
        tracing::info!(url, "fetching a backbone");
        let mut answer = self.get(url)?;
        let n_all = answer.body().content_length();
        let mut body =
            answer.body_mut().with_config().limit(MAX_BYTES).reader();
        let mut file = disk::create(path)?;
        let mut n_bytes = 0;
        loop {
            (self.listener)(Received { n_bytes, n_all })?;
            let mut chunk = body.by_ref().take(CHUNK_BYTES);
            match std::io::copy(&mut chunk, &mut file) {
                Ok(0) => return file.sync_all().map_err(Error::file(path)),
                Ok(n) => n_bytes += n,
                Err(error) => return Err(self.failed(url, error.into())),
            }
        }
    }

    /// Asks whether something is at an address, and leaves it there.
    pub(crate) fn ask(&self, url: &str) -> Result<(), Error> {
        self.get(url).map(drop)
    }

    /// Reads what is at an address as text.
    pub(crate) fn page(&self, url: &str) -> Result<String, Error> {
        let mut answer = self.get(url)?;
        let body = answer.body_mut().with_config().limit(MAX_PAGE_BYTES);
        body.read_to_string()
            .map_err(|error| self.failed(url, error))
    }

    fn get(&self, url: &str) -> Result<Response<Body>, Error> {
        let answer = self.agent.get(url).call();
        answer.map_err(|error| self.failed(url, error))
    }

    fn failed(&self, url: &str, source: ureq::Error) -> Error {
        Error::Hub {
            url: url.to_owned(),
            folder: self.place.to_owned(),
            source: Box::new(source),
        }
    }
}

/// The certificates that the system trusts, a company's own among them; where
/// it has none, those that Mozilla trusts.
fn root_certs() -> RootCerts {
    let system = rustls_native_certs::load_native_certs().certs;
    if system.is_empty() {
        return RootCerts::WebPki;
    }
    let mut certs = Vec::with_capacity(system.len());
    for cert in &system {
        certs.push(Certificate::from_der(cert).to_owned());
    }
    RootCerts::new_with_certs(&certs)
}
