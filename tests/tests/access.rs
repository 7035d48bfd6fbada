//! Who may reach the ports.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Cluster, Options, Process, binary, eventually, free_port};
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use proto::pb::model_service_client::ModelServiceClient;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::{Connection, Target, connect};
use tonic::{Code, Status};

/// Long enough for a process to start on a busy machine.
const START_TIME: Duration = Duration::from_secs(20);

/// A certificate for this machine and its key, which is its own authority.
struct Certificate {
    pem: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn write(folder: &Path) -> Self {
        service::install_tls_provider();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .unwrap();
        let pem = folder.join("cert.pem");
        let key = folder.join("key.pem");
        std::fs::write(&pem, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self { pem, key }
    }

    /// A connection over TLS that trusts this certificate.
    fn connection(&self, port: u16, token: &str) -> Connection {
        let target = Target {
            url: format!("https://localhost:{port}"),
            token: token.to_owned(),
            ca: Some(self.pem.clone()),
        };
        connect(&target).unwrap()
    }
}

/// A port behind TLS and a token.
struct Guarded<'a> {
    certificate: &'a Certificate,
    port: u16,
    token: &'a str,
}

impl Guarded<'_> {
    /// Its settings, below the service's name for it, such as `SCORER__API`.
    fn settings(&self, name: &str) -> [(String, String); 4] {
        let Certificate { pem, key } = self.certificate;
        [
            (
                format!("{name}__ADDRESS"),
                format!("127.0.0.1:{}", self.port),
            ),
            (format!("{name}__TOKEN"), self.token.to_owned()),
            (
                format!("{name}__TLS__CERTIFICATE"),
                pem.display().to_string(),
            ),
            (format!("{name}__TLS__KEY"), key.display().to_string()),
        ]
    }

    /// Lets calls in that are encrypted and carry the token, and no others.
    async fn assert_keeps_others_out(
        &self,
        wrong_token: &str,
        call: impl AsyncFn(Connection) -> Result<(), Status>,
    ) {
        let certificate = self.certificate;
        let what = "a call with the token succeeds";
        eventually(what, START_TIME, async || {
            let connection = certificate.connection(self.port, self.token);
            call(connection).await.ok()
        })
        .await;
        for wrong in ["", "let-me-out", wrong_token] {
            let connection = certificate.connection(self.port, wrong);
            let refused = call(connection).await.unwrap_err();
            assert_eq!(
                refused.code(),
                Code::Unauthenticated,
                "{wrong}: {refused}"
            );
        }
        let plain = Target {
            url: format!("http://localhost:{}", self.port),
            token: self.token.to_owned(),
            ca: None,
        };
        let answer = call(connect(&plain).unwrap()).await;
        assert!(answer.is_err(), "plain text is not answered");
        let stranger = Target {
            url: format!("https://localhost:{}", self.port),
            token: self.token.to_owned(),
            ca: None,
        };
        let answer = call(connect(&stranger).unwrap()).await;
        assert!(answer.is_err(), "the certificate is not trusted by itself");
    }
}

fn coordinator(folder: &Path, settings: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary("coordinator"));
    command.current_dir(folder).env(
        "COORDINATOR__WORKERS__ADDRESS",
        format!("127.0.0.1:{}", free_port()),
    );
    for (name, value) in settings {
        command.env(format!("COORDINATOR__{name}"), value);
    }
    command
}

#[tokio::test]
async fn tls_and_a_token_keep_others_out_of_the_coordinators_ports() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = &Certificate::write(folder.path());
    let api = Guarded {
        certificate,
        port: free_port(),
        token: "let-clients-in",
    };
    let workers = Guarded {
        certificate,
        port: free_port(),
        token: "let-workers-in",
    };
    let mut command = coordinator(folder.path(), &[]);
    command.envs(api.settings("COORDINATOR__API"));
    command.envs(workers.settings("COORDINATOR__WORKERS"));
    let _coordinator = Process::start(&mut command);

    api.assert_keeps_others_out(workers.token, async |connection| {
        let mut client = TrainingServiceClient::new(connection);
        client.list_jobs(pb::ListJobsRequest::default()).await?;
        Ok(())
    })
    .await;
    api.assert_keeps_others_out(workers.token, async |connection| {
        let mut client = ModelServiceClient::new(connection);
        let all = pb::ListModelVersionsRequest::default();
        client.list_model_versions(all).await?;
        Ok(())
    })
    .await;
    workers
        .assert_keeps_others_out(api.token, async |connection| {
            let mut client = WorkerServiceClient::new(connection);
            let request = pb::LeaseRequest {
                worker: "w1".to_owned(),
                ..Default::default()
            };
            client.lease(request).await?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn tls_and_a_token_keep_others_out_of_the_scorers_port() {
    let folder = tempfile::tempdir().unwrap();
    let api = Guarded {
        certificate: &Certificate::write(folder.path()),
        port: free_port(),
        // It is no number, though it looks like one.
        token: "00012345",
    };
    let mut command = Command::new(binary("scorer"));
    command.current_dir(folder.path());
    command.envs(api.settings("SCORER__API"));
    let _scorer = Process::start(&mut command);

    api.assert_keeps_others_out("let-workers-in", async |connection| {
        let mut client = HistoryServiceClient::new(connection);
        let request = pb::GetHistoryRequest {
            user_id: "u".to_owned(),
            ..Default::default()
        };
        client.get_history(request).await?;
        Ok(())
    })
    .await;
    api.assert_keeps_others_out("let-workers-in", async |connection| {
        let mut client = RecommendationServiceClient::new(connection);
        client.get_status(pb::GetStatusRequest {}).await?;
        Ok(())
    })
    .await;
    api.assert_keeps_others_out("12345", list_services).await;
    api.assert_keeps_others_out("12345", list_services_v1alpha)
        .await;
}

/// Asks a port for its services.
async fn list_services(connection: Connection) -> Result<(), Status> {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(connection);
    let requests = tokio_stream::iter([request]);
    let answers = client.server_reflection_info(requests).await?;
    answers.into_inner().message().await?;
    Ok(())
}

/// The same as older clients ask it.
async fn list_services_v1alpha(connection: Connection) -> Result<(), Status> {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(connection);
    let requests = tokio_stream::iter([request]);
    let answers = client.server_reflection_info(requests).await?;
    answers.into_inner().message().await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_with_the_token_trains_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::write(folder.path());
    let workers = Guarded {
        certificate: &certificate,
        port: free_port(),
        token: "let-workers-in",
    };
    let mut environment = workers.settings("COORDINATOR__WORKERS").to_vec();
    for (name, value) in [
        ("URL", format!("https://localhost:{}", workers.port)),
        ("TOKEN", workers.token.to_owned()),
        ("CA", certificate.pem.display().to_string()),
    ] {
        environment.push((format!("WORKER__COORDINATOR__{name}"), value));
    }
    let cluster = Cluster::start_with(Options {
        environment,
        without_worker: false,
    })
    .await;
    let dataset = cluster.import_two_groups();
    let job = cluster.train(&dataset, &[]).await;
    assert_eq!(job.attempts, 1);
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
    let output = coordinator(
        folder.path(),
        &[("API__ADRESS", "127.0.0.1:1".to_owned())],
    )
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

    let cluster = Cluster::start_without_worker().await;
    for (connection, expected) in cluster.ports().into_iter().zip([
        "TrainingService",
        "WorkerService",
        "HistoryService",
    ]) {
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

#[tokio::test]
async fn who_may_train_does_not_decide_what_customers_get() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let settings = [
        ("API__ADDRESS", format!("127.0.0.1:{port}")),
        ("API__TOKENS__SCIENCE__TOKEN", "s".to_owned()),
        ("API__TOKENS__SCIENCE__ROLES", "train".to_owned()),
        ("API__TOKENS__RELEASE__TOKEN", "r".to_owned()),
        ("API__TOKENS__RELEASE__ROLES", "train, publish".to_owned()),
    ];
    let mut command = coordinator(folder.path(), &settings);
    let _coordinator = Process::start(&mut command);
    let connection = |token: &str| {
        let target = Target {
            url: format!("http://127.0.0.1:{port}"),
            token: token.to_owned(),
            ca: None,
        };
        connect(&target).unwrap()
    };
    eventually("a token opens the port", START_TIME, async || {
        let mut client = TrainingServiceClient::new(connection("s"));
        client.list_jobs(pb::ListJobsRequest::default()).await.ok()
    })
    .await;

    let submit = async |token: &str, labels: &[&str]| {
        let spec = pb::TrainSpec {
            dataset: "datasets/4e0889d9c2806cd4e736a9ff8a61e394".to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            ..pb::TrainSpec::default()
        };
        let request = pb::TrainJobRequest {
            spec: Some(spec),
            ..pb::TrainJobRequest::default()
        };
        let mut client = TrainingServiceClient::new(connection(token));
        client.train_job(request).await.unwrap_err().code()
    };
    // There is no such data set, for those who may ask.
    assert_eq!(submit("s", &[]).await, Code::NotFound);
    assert_eq!(submit("s", &["live"]).await, Code::PermissionDenied);
    assert_eq!(submit("r", &["live"]).await, Code::NotFound);

    let set_label = async |token: &str| {
        let request = pb::SetLabelRequest {
            label: "live".to_owned(),
            model_version: "modelVersions/4e0889d9c2806cd4e736a9ff8a61e394"
                .to_owned(),
        };
        let mut client = ModelServiceClient::new(connection(token));
        client.set_label(request).await.unwrap_err().code()
    };
    assert_eq!(set_label("s").await, Code::PermissionDenied);
    assert_eq!(set_label("r").await, Code::NotFound);
}
