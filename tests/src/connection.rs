//! Connections to services on this machine.

use service::client::{Connection, Target, connect};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A connection to a port in plain text, without a token.
pub(crate) fn connection(port: u16) -> Connection {
    let target = Target {
        url: format!("http://127.0.0.1:{port}"),
        token: String::new(),
        ca: None,
    };
    connect(&target).unwrap()
}

/// What the health check of a port says; `None` when nobody answers.
pub(crate) async fn health(port: u16) -> Option<ServingStatus> {
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut client = HealthClient::new(connection(port));
    let answer = client.check(request).await.ok()?;
    Some(answer.into_inner().status())
}
