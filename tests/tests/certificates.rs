//! A port's certificate: replaced without a restart, and good for HTTP/1.1 as
//! for HTTP/2.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Cluster, Options, eventually, free_port};
use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::{Target, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Code;

/// Longer than the pause between two looks at the files, on a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

/// Longer than two pauses between looks.
const SEVERAL_LOOKS: Duration = Duration::from_secs(5);

/// A port whose certificate's files are in a folder.
struct Port<'a> {
    number: u16,
    folder: &'a Path,
}

impl Port<'_> {
    /// Writes a new certificate and its key; returns a file with the
    /// certificate that clients may trust.
    fn renew(&self, name: &str) -> PathBuf {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.unwrap();
        let trusted = self.folder.join(name);
        std::fs::write(&trusted, made.cert.pem()).unwrap();
        // As tools that renew do it: the files are replaced one by one.
        let key = self.folder.join("new-key.pem");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::rename(key, self.folder.join("key.pem")).unwrap();
        let certificate = self.folder.join("new-cert.pem");
        std::fs::copy(&trusted, &certificate).unwrap();
        std::fs::rename(certificate, self.folder.join("cert.pem")).unwrap();
        trusted
    }

    /// Whether a client that trusts this certificate alone is answered.
    async fn is_trusted(&self, certificate: &Path) -> bool {
        let target = Target {
            url: format!("https://localhost:{}", self.number),
            token: "t".to_owned(),
            ca: Some(certificate.to_owned()),
        };
        let connection = connect(&target).unwrap();
        let mut client = RecommendationServiceClient::new(connection);
        match client.get_status(pb::GetStatusRequest {}).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                false
            }
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_broken_one_is_not()
{
    let folder = tempfile::tempdir().unwrap();
    let port = Port {
        number: free_port(),
        folder: folder.path(),
    };
    let first = port.renew("first.pem");
    let _cluster = start(&port).await;
    assert!(port.is_trusted(&first).await);

    let second = port.renew("second.pem");
    eventually("the new certificate is in use", NOTICED, async || {
        port.is_trusted(&second).await.then_some(())
    })
    .await;
    assert!(!port.is_trusted(&first).await);

    // Half of a pair: the one in use stays.
    std::fs::write(folder.path().join("key.pem"), "no key").unwrap();
    let third = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let third = third.unwrap().cert.pem();
    std::fs::write(folder.path().join("cert.pem"), third).unwrap();
    let until = Instant::now() + SEVERAL_LOOKS;
    while Instant::now() < until {
        assert!(port.is_trusted(&second).await);
    }
}

#[tokio::test]
async fn clients_of_http_1_agree_on_tls() {
    let folder = tempfile::tempdir().unwrap();
    let port = Port {
        number: free_port(),
        folder: folder.path(),
    };
    let trusted = port.renew("trusted.pem");
    let _cluster = start(&port).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // What Python's and Node's clients offer.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(("127.0.0.1", port.number))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// A cluster without a worker, whose second scorer has the port.
async fn start(port: &Port<'_>) -> (Cluster, e2e::Process) {
    service::install_tls_provider();
    let cluster =
        Cluster::start_with(Options::default().without_worker()).await;
    let file = |name: &str| port.folder.join(name).display().to_string();
    let scorer = cluster.start_scorer_at(
        port.number,
        &[
            ("SCORER__API__TOKEN", "t"),
            ("SCORER__API__TLS__CERTIFICATE", &file("cert.pem")),
            ("SCORER__API__TLS__KEY", &file("key.pem")),
        ],
    );
    eventually("the scorer listens", NOTICED, async || {
        TcpStream::connect(("127.0.0.1", port.number)).await.ok()
    })
    .await;
    (cluster, scorer)
}
