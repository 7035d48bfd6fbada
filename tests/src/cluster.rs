//! Coordinator, workers and scorers as separate processes on Redis.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use proto::pb::job::State;
use proto::pb::model_service_client::ModelServiceClient;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::{Connection, Target, connect};
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::data::{TINY_JOB, write_two_groups};
use crate::process::{Process, binary, eventually, free_port};
use crate::redis::Redis;

/// Everything of one deployment; all of it ends with the test.
#[derive(Debug)]
pub struct Cluster {
    /// Histories, jobs, registry.
    pub store: Redis,
    /// States and rows.
    pub cache: Redis,
    /// The coordinator.
    pub coordinator: Process,
    /// The workers.
    pub workers: Vec<Process>,
    /// The scorer.
    pub scorer: Process,
    ports: Ports,
    options: Options,
    folder: TempDir,
}

/// What differs between clusters.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More settings, as environment variables.
    pub environment: Vec<(String, String)>,
    /// Do not wait for a model to be live.
    pub without_worker: bool,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    coordinator: u16,
    workers: u16,
    scorer: u16,
}

/// Long enough for a tiny job on a busy machine.
const JOB_TIME: Duration = Duration::from_secs(120);
/// Long enough for a process to start on a busy machine.
const START_TIME: Duration = Duration::from_secs(30);

impl Cluster {
    /// Two Redis, a coordinator, a worker and a scorer.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// The same with other settings.
    pub async fn start_with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Redis::store(&folder.path().join("store")).await;
        let cache = Redis::cache(&folder.path().join("cache")).await;
        let ports = Ports {
            coordinator: free_port(),
            workers: free_port(),
            scorer: free_port(),
        };
        let environment = environment(folder.path(), &store, &cache, ports, &options);
        let start =
            |name: &str| Process::start(Command::new(binary(name)).envs(environment.clone()));
        let (coordinator, scorer) = (start("coordinator"), start("scorer"));
        let workers = if options.without_worker {
            Vec::new()
        } else {
            vec![start("worker")]
        };
        let cluster = Self {
            store,
            cache,
            coordinator,
            workers,
            scorer,
            ports,
            options,
            folder,
        };
        cluster.wait_for_answer(ports.coordinator).await;
        cluster.wait_for_answer(ports.scorer).await;
        cluster
    }

    /// A cluster with the two groups imported and a model live.
    pub async fn start_with_model() -> Self {
        let cluster = Self::start().await;
        let dataset = cluster.import_two_groups();
        cluster.train(&dataset, &[]).await;
        cluster.wait_until_ready().await;
        cluster
    }

    fn environment(&self) -> Vec<(String, String)> {
        environment(
            self.folder.path(),
            &self.store,
            &self.cache,
            self.ports,
            &self.options,
        )
    }

    /// A folder that ends with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where artifacts are.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    /// Where workers look for backbones.
    pub fn backbones(&self) -> PathBuf {
        self.folder.path().join("backbones")
    }

    /// One more process of a kind.
    pub fn start_process(&self, name: &str) -> Process {
        Process::start(Command::new(binary(name)).envs(self.environment()))
    }

    /// One more scorer, on a port of its own and with other settings (environment variables), once
    /// it is ready.
    pub async fn start_scorer(&self, settings: &[(&str, &str)]) -> (Process, u16) {
        let port = free_port();
        let mut command = Command::new(binary("scorer"));
        command
            .envs(self.environment())
            .envs(settings.iter().copied())
            .env("SCORER__API__ADDRESS", format!("127.0.0.1:{port}"));
        let scorer = Process::start(&mut command);
        self.wait_until_ready_at(port).await;
        (scorer, port)
    }

    /// The command line, as an operator runs it.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(binary("cllm4rec"))
            .args(arguments)
            .envs(self.environment())
            .output()
            .unwrap()
    }

    /// The same, for a command that succeeds with one JSON line.
    pub fn cli_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.cli(&[&["--json"], arguments].concat());
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {err}");
        serde_json::from_str(out.lines().last().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{e}: {out}"))
    }

    /// Imports the two groups and seeds the histories; returns the data set's name.
    pub fn import_two_groups(&self) -> String {
        let data = self.folder.path().join("two-groups");
        write_two_groups(&data);
        self.import(&data)
    }

    /// Imports a folder and seeds its histories; returns the data set's name.
    pub fn import(&self, data: &Path) -> String {
        let imported = self.cli_json(&["dataset", "import", data.to_str().unwrap()]);
        format!("datasets/{}", imported["dataset"].as_str().unwrap())
    }

    /// Submits a job: the given fields over [`TINY_JOB`]; returns its name.
    pub fn submit(&self, dataset: &str, fields: &[&str]) -> String {
        let mut arguments = vec!["train", "submit", "--dataset", dataset, "--label", "live"];
        for field in TINY_JOB.iter().chain(fields) {
            arguments.extend(["--set", field]);
        }
        self.cli_json(&arguments)["name"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Trains a model, which becomes live; returns the job.
    pub async fn train(&self, dataset: &str, fields: &[&str]) -> pb::Job {
        let job = self.ended(&self.submit(dataset, fields)).await;
        assert_eq!(job.state(), State::Succeeded, "{:?}", job.cause);
        job
    }

    /// A job once it has ended.
    pub async fn ended(&self, name: &str) -> pb::Job {
        self.job_when(name, JOB_TIME, |job| {
            matches!(
                job.state(),
                State::Succeeded | State::Failed | State::Cancelled
            )
        })
        .await
    }

    /// A job once `check` holds.
    pub async fn job_when(
        &self,
        name: &str,
        within: Duration,
        check: impl Fn(&pb::Job) -> bool,
    ) -> pb::Job {
        eventually(&format!("job {name}"), within, async || {
            let request = pb::GetJobRequest {
                name: name.to_owned(),
            };
            // The coordinator may be away for a moment.
            self.training()
                .get_job(request)
                .await
                .ok()
                .map(tonic::Response::into_inner)
                .filter(&check)
        })
        .await
    }

    /// All events of an ended job.
    pub async fn events(&self, name: &str) -> Vec<pb::JobEvent> {
        let request = pb::WatchJobRequest {
            name: name.to_owned(),
            from_number: 1,
        };
        let mut stream = self
            .training()
            .watch_job(request)
            .await
            .unwrap()
            .into_inner();
        let mut events = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
        events
    }

    /// `TrainingService`.
    pub fn training(&self) -> TrainingServiceClient<Connection> {
        TrainingServiceClient::new(connection(self.ports.coordinator))
    }

    /// A connection to each port: coordinator, workers, scorer.
    pub fn ports(&self) -> [Connection; 3] {
        [
            self.ports.coordinator,
            self.ports.workers,
            self.ports.scorer,
        ]
        .map(connection)
    }

    /// A connection to the port for workers.
    pub fn worker_port(&self) -> Connection {
        connection(self.ports.workers)
    }

    /// `ModelService`.
    pub fn models(&self) -> ModelServiceClient<Connection> {
        ModelServiceClient::new(connection(self.ports.coordinator))
    }

    /// Points a label to a version.
    pub async fn set_label(&self, label: &str, version: &str) {
        let request = pb::SetLabelRequest {
            label: label.to_owned(),
            model_version: version.to_owned(),
        };
        self.models().set_label(request).await.unwrap();
    }

    /// `RecommendationService`.
    pub fn recommendations(&self) -> RecommendationServiceClient<Connection> {
        self.recommendations_at(self.ports.scorer)
    }

    /// `RecommendationService` of another scorer.
    pub fn recommendations_at(&self, port: u16) -> RecommendationServiceClient<Connection> {
        RecommendationServiceClient::new(connection(port))
    }

    /// An answer of the scorer.
    pub async fn recommend(&self, request: pb::RecommendRequest) -> pb::RecommendResponse {
        self.recommend_at(self.ports.scorer, request).await
    }

    /// An answer of another scorer.
    pub async fn recommend_at(
        &self,
        port: u16,
        request: pb::RecommendRequest,
    ) -> pb::RecommendResponse {
        self.recommendations_at(port)
            .recommend(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// What the scorer says of itself.
    pub async fn status(&self) -> pb::ServingStatus {
        self.status_at(self.ports.scorer).await
    }

    /// What another scorer says of itself.
    pub async fn status_at(&self, port: u16) -> pb::ServingStatus {
        self.recommendations_at(port)
            .get_status(pb::GetStatusRequest {})
            .await
            .unwrap()
            .into_inner()
    }

    /// `HistoryService`.
    pub fn histories(&self) -> HistoryServiceClient<Connection> {
        HistoryServiceClient::new(connection(self.ports.scorer))
    }

    /// Records interactions; returns how many were new.
    pub async fn record(&self, interactions: Vec<pb::Interaction>) -> u32 {
        self.record_at(self.ports.scorer, interactions).await
    }

    /// The same through another scorer.
    pub async fn record_at(&self, port: u16, interactions: Vec<pb::Interaction>) -> u32 {
        let request = pb::RecordInteractionsRequest {
            interactions,
            catalog: String::new(),
        };
        let recorded = HistoryServiceClient::new(connection(port))
            .record_interactions(request)
            .await;
        recorded.unwrap().into_inner().n_recorded
    }

    /// Waits until the scorer says that it is ready.
    pub async fn wait_until_ready(&self) {
        self.wait_until_ready_at(self.ports.scorer).await;
    }

    /// The same for another scorer.
    async fn wait_until_ready_at(&self, port: u16) {
        eventually("the scorer is ready", START_TIME, async || {
            (health(port).await == Some(ServingStatus::Serving)).then_some(())
        })
        .await;
    }

    /// What the scorer's health check says.
    pub async fn scorer_health(&self) -> Option<ServingStatus> {
        health(self.ports.scorer).await
    }

    async fn wait_for_answer(&self, port: u16) {
        eventually("a service answers", START_TIME, async || health(port).await).await;
    }

    /// Ends the coordinator and starts another one in its place.
    pub async fn restart_coordinator(&mut self) {
        self.coordinator.kill();
        self.coordinator = self.start_process("coordinator");
        self.wait_for_answer(self.ports.coordinator).await;
    }
}

async fn health(port: u16) -> Option<ServingStatus> {
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = HealthClient::new(connection(port))
        .check(request)
        .await
        .ok()?;
    Some(answer.into_inner().status())
}

fn connection(port: u16) -> Connection {
    connect(&Target {
        url: format!("http://127.0.0.1:{port}"),
        token: String::new(),
        ca: None,
    })
    .unwrap()
}

fn environment(
    folder: &Path,
    store: &Redis,
    cache: &Redis,
    ports: Ports,
    options: &Options,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut set = |name: String, value: String| variables.push((name, value));
    for service in ["COORDINATOR", "WORKER", "SCORER", "CLLM4REC"] {
        set(format!("{service}__STORAGE__STORE"), store.url());
        set(format!("{service}__STORAGE__CACHE"), cache.url());
        // So that a busy machine makes nobody do without it.
        set(
            format!("{service}__STORAGE__CACHE_TIMEOUT_MS"),
            "1000".to_owned(),
        );
        set(
            format!("{service}__STORAGE__ARTIFACTS"),
            folder.join("artifacts").display().to_string(),
        );
        set(format!("{service}__LOG__FILTER"), "warn".to_owned());
    }
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let address = |port: u16| format!("127.0.0.1:{port}");
    set(
        "COORDINATOR__API__ADDRESS".into(),
        address(ports.coordinator),
    );
    set(
        "COORDINATOR__WORKERS__ADDRESS".into(),
        address(ports.workers),
    );
    set("COORDINATOR__LEASE_TERM_S".into(), "2".into());
    set("WORKER__COORDINATOR__URL".into(), url(ports.workers));
    set(
        "WORKER__BACKBONE_ROOT".into(),
        folder.join("backbones").display().to_string(),
    );
    set(
        "WORKER__SCRATCH".into(),
        folder.join("scratch").display().to_string(),
    );
    set("WORKER__HEARTBEAT_MS".into(), "200".into());
    set("WORKER__CHECKPOINT_EVERY_S".into(), "1".into());
    set("SCORER__API__ADDRESS".into(), address(ports.scorer));
    set("SCORER__FOLLOW_MS".into(), "100".into());
    set("CLLM4REC__COORDINATOR__URL".into(), url(ports.coordinator));
    set("CLLM4REC__SCORER__URL".into(), url(ports.scorer));
    variables.extend(options.environment.clone());
    variables
}
