//! Who may reach the ports.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::time::Duration;

use e2e::{Process, binary, eventually, free_port};
use proto::pb;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::{Target, connect};

fn coordinator(folder: &std::path::Path, settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary("coordinator"));
    command.current_dir(folder).env(
        "COORDINATOR__WORKERS__ADDRESS",
        format!("127.0.0.1:{}", free_port()),
    );
    settings.iter().for_each(|(name, value)| {
        command.env(format!("COORDINATOR__{name}"), value);
    });
    command
}

#[tokio::test]
async fn tls_and_a_token_keep_others_out() {
    service::install_tls_provider();
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&pem, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let settings = [
        ("API__ADDRESS", format!("127.0.0.1:{port}")),
        ("API__TOKEN", "let-me-in".to_owned()),
        ("API__TLS__CERTIFICATE", pem.display().to_string()),
        ("API__TLS__KEY", key.display().to_string()),
    ];
    let _coordinator = Process::start(&mut coordinator(folder.path(), &settings));
    let list = async |url: String, token: &str| {
        let target = Target {
            url,
            token: token.to_owned(),
            ca: Some(pem.clone()),
        };
        TrainingServiceClient::new(connect(&target).unwrap())
            .list_jobs(pb::ListJobsRequest::default())
            .await
    };
    let encrypted = || format!("https://localhost:{port}");
    eventually(
        "a call with the token succeeds",
        Duration::from_secs(20),
        async || list(encrypted(), "let-me-in").await.ok(),
    )
    .await;
    for wrong in ["", "let-me-out"] {
        assert_eq!(
            list(encrypted(), wrong).await.unwrap_err().code(),
            tonic::Code::Unauthenticated
        );
    }
    assert!(
        list(format!("http://localhost:{port}"), "let-me-in")
            .await
            .is_err(),
        "plain text is not answered"
    );
}

#[test]
fn a_port_that_others_can_reach_is_not_opened_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("API__ADDRESS", format!("0.0.0.0:{}", free_port()))];
    let output = coordinator(folder.path(), &settings).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("insecure = true"),
        "{error}"
    );
}

#[test]
fn an_unknown_setting_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let output = coordinator(folder.path(), &[("API__ADRESS", "127.0.0.1:1".to_owned())])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("adress"),
        "{error}"
    );
}

#[tokio::test]
async fn every_port_lists_its_services() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let cluster = e2e::Cluster::start_with(e2e::Options {
        without_worker: true,
        ..Default::default()
    })
    .await;
    for (connection, expected) in
        cluster
            .ports()
            .into_iter()
            .zip(["TrainingService", "WorkerService", "HistoryService"])
    {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(connection);
        let answers = client
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .unwrap();
        let answer = answers
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap();
        let MessageResponse::ListServicesResponse(services) = answer else {
            panic!("{answer:?}")
        };
        let names: Vec<String> = services
            .service
            .into_iter()
            .map(|service| service.name)
            .collect();
        assert!(
            names.contains(&format!("cllm4rec.v1.{expected}")),
            "{names:?}"
        );
        assert!(
            names.contains(&"grpc.health.v1.Health".to_owned()),
            "{names:?}"
        );
    }
}
