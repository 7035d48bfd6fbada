//! Coordinator, workers and scorers as separate processes on Redis.
//!
//! `calls` has what tests ask of them over gRPC.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use proto::pb::training_service_client::TrainingServiceClient;
use proto::pb::worker_service_client::WorkerServiceClient;
use service::client::Connection;
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::connection::{connection, health};
use crate::data::{TINY_JOB, write_two_groups};
use crate::environment::{Ports, environment};
use crate::process::{Process, binary, eventually, free_port};
use crate::redis::Redis;

/// Everything of one deployment; all of it ends with the test.
#[derive(Debug)]
pub struct Cluster {
    /// The Redis that keeps histories, jobs and the registry.
    pub store: Redis,
    /// The Redis that caches user states and rows.
    pub cache: Redis,
    /// The coordinator; a cluster has one.
    pub coordinator: Process,
    /// The workers, of which there may be none.
    pub workers: Vec<Process>,
    /// The scorer that was started with the cluster.
    pub scorer: Process,
    pub(crate) ports: Ports,
    /// Whether what is asked of scorers is asked over HTTP as well.
    pub(crate) asks_both_ways: bool,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

/// What a test wants its cluster to have otherwise than others.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings over the cluster's own, as environment variables.
    pub environment: Vec<(String, String)>,
    /// Start no worker: jobs stay queued until the test starts one or leases
    /// them itself.
    pub without_worker: bool,
}

/// Long enough for a process to start on a busy machine.
const START_TIME: Duration = Duration::from_secs(30);

impl Options {
    /// Settings over the cluster's own, by the names of environment variables.
    pub fn settings(settings: &[(&str, &str)]) -> Self {
        let mut environment = Vec::new();
        for (name, value) in settings {
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        Self {
            environment,
            without_worker: false,
        }
    }

    /// These options, but with no worker.
    #[must_use]
    pub fn without_worker(self) -> Self {
        Self {
            without_worker: true,
            ..self
        }
    }
}

impl Cluster {
    /// Two Redis, a coordinator, a worker and a scorer.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// A cluster without a worker.
    pub async fn start_without_worker() -> Self {
        Self::start_with(Options::default().without_worker()).await
    }

    /// A cluster with other settings.
    pub async fn start_with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Redis::store(&folder.path().join("store")).await;
        let cache = Redis::cache(&folder.path().join("cache")).await;
        let ports = Ports::free();
        let mut environment = environment(folder.path(), &store, &cache, ports);
        environment.extend(options.environment);
        let coordinator = start("coordinator", &environment);
        let scorer = start("scorer", &environment);
        let mut workers = Vec::new();
        if !options.without_worker {
            workers.push(start("worker", &environment));
        }
        let cluster = Self {
            store,
            cache,
            coordinator,
            workers,
            scorer,
            ports,
            asks_both_ways: false,
            environment,
            folder,
        };
        wait_for_answer(ports.coordinator).await;
        wait_for_answer(ports.scorer).await;
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

    /// The same cluster, which is asked over gRPC and over HTTP, and has to
    /// say the same.
    #[must_use]
    pub fn asked_both_ways(mut self) -> Self {
        self.asks_both_ways = true;
        self
    }

    /// The scorer's port.
    pub fn scorer_port(&self) -> u16 {
        self.ports.scorer
    }

    /// A folder that ends with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the artifact store.
    pub fn artifacts(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    /// The folder where workers look for backbones.
    pub fn backbones(&self) -> PathBuf {
        self.folder.path().join("backbones")
    }

    /// The folder where workers keep encoded texts from job to job.
    pub fn token_files(&self) -> PathBuf {
        self.folder.path().join("scratch").join("tokens")
    }

    /// Starts one more process of a kind.
    pub fn start_process(&self, name: &str) -> Process {
        start(name, &self.environment)
    }

    /// Starts one more scorer, on a port of its own and with other settings
    /// (environment variables); returns once it is ready, which takes a live
    /// model.
    pub async fn start_scorer(
        &self,
        settings: &[(&str, &str)],
    ) -> (Process, u16) {
        let (scorer, port) = self.start_scorer_without_model(settings).await;
        wait_until_ready_at(port).await;
        (scorer, port)
    }

    /// Starts one more scorer; returns once it answers, ready or not.
    pub async fn start_scorer_without_model(
        &self,
        settings: &[(&str, &str)],
    ) -> (Process, u16) {
        let port = free_port();
        let scorer = self.start_scorer_at(port, settings);
        wait_for_answer(port).await;
        (scorer, port)
    }

    /// Starts one more scorer at a port; returns at once.
    pub fn start_scorer_at(
        &self,
        port: u16,
        settings: &[(&str, &str)],
    ) -> Process {
        let mut command = Command::new(binary("scorer"));
        command.envs(self.environment.iter().cloned());
        command.envs(settings.iter().copied());
        command.env("SCORER__API__ADDRESS", format!("127.0.0.1:{port}"));
        Process::start(&mut command)
    }

    /// Starts one more coordinator on the same store, on ports of its own and
    /// with these variables over the cluster's.
    pub async fn start_coordinator(
        &self,
        variables: &[(String, String)],
    ) -> OtherCoordinator {
        let ports = Ports::free();
        let mut command = Command::new(binary("coordinator"));
        command.envs(self.environment.iter().cloned());
        command.envs(variables.iter().cloned());
        for (name, port) in [
            ("COORDINATOR__API__ADDRESS", ports.coordinator),
            ("COORDINATOR__WORKERS__ADDRESS", ports.workers),
        ] {
            command.env(name, format!("127.0.0.1:{port}"));
        }
        let process = Process::start(&mut command);
        wait_for_answer(ports.coordinator).await;
        OtherCoordinator {
            _process: process,
            ports,
        }
    }

    /// Runs the command line, as an operator does.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("cllm4rec"));
        command.args(arguments);
        command.envs(self.environment.iter().cloned());
        command.output().unwrap()
    }

    /// Runs a command that succeeds; returns its last line, which is JSON.
    pub fn cli_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.cli(&[&["--json"], arguments].concat());
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
        let last = out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {out}"))
    }

    /// Imports the two groups and seeds the histories; returns the data set's
    /// name.
    pub fn import_two_groups(&self) -> String {
        let data = self.folder.path().join("two-groups");
        write_two_groups(&data);
        self.import(&data)
    }

    /// Imports a folder and seeds the histories with all but the test split;
    /// returns the data set's name.
    pub fn import(&self, data: &Path) -> String {
        let data = data.to_str().unwrap();
        let seeded = "--seed-histories=train,valid";
        let imported = self.cli_json(&["dataset", "import", data, seeded]);
        format!("datasets/{}", imported["dataset"].as_str().unwrap())
    }

    /// Submits a job: the given fields over [`TINY_JOB`]; returns its name.
    pub fn submit(&self, dataset: &str, fields: &[&str]) -> String {
        let job = self.submit_with(&["--label", "live"], dataset, fields);
        job["name"].as_str().unwrap().to_owned()
    }

    /// Submits a job with more options of the command; returns its answer.
    pub fn submit_with(
        &self,
        options: &[&str],
        dataset: &str,
        fields: &[&str],
    ) -> serde_json::Value {
        let mut arguments = vec!["train", "submit", "--dataset", dataset];
        arguments.extend(options);
        for field in TINY_JOB.iter().chain(fields) {
            arguments.extend(["--set", field]);
        }
        self.cli_json(&arguments)
    }

    /// The coordinator's port for clients.
    pub fn coordinator_port(&self) -> u16 {
        self.ports.coordinator
    }

    /// A connection to each port: coordinator, workers, scorer.
    pub fn ports(&self) -> [Connection; 3] {
        let Ports {
            coordinator,
            workers,
            scorer,
        } = self.ports;
        [coordinator, workers, scorer].map(connection)
    }

    /// Waits until the scorer says that it is ready.
    pub async fn wait_until_ready(&self) {
        wait_until_ready_at(self.ports.scorer).await;
    }

    /// What the scorer's health check says; `None` when it does not answer.
    pub async fn scorer_health(&self) -> Option<ServingStatus> {
        health(self.ports.scorer).await
    }

    /// Kills the coordinator and starts another one in its place.
    pub async fn restart_coordinator(&mut self) {
        self.coordinator.kill();
        self.coordinator = self.start_process("coordinator");
        wait_for_answer(self.ports.coordinator).await;
    }
}

/// A coordinator beside a cluster's own; ends when it is dropped.
#[derive(Debug)]
pub struct OtherCoordinator {
    _process: Process,
    ports: Ports,
}

impl OtherCoordinator {
    /// A client of its `TrainingService`.
    pub fn training(&self) -> TrainingServiceClient<Connection> {
        TrainingServiceClient::new(connection(self.ports.coordinator))
    }

    /// A client of its `WorkerService`.
    pub fn worker_service(&self) -> WorkerServiceClient<Connection> {
        WorkerServiceClient::new(connection(self.ports.workers))
    }
}

fn start(name: &str, environment: &[(String, String)]) -> Process {
    let mut command = Command::new(binary(name));
    Process::start(command.envs(environment.iter().cloned()))
}

async fn wait_for_answer(port: u16) {
    eventually("a service answers", START_TIME, async || health(port).await)
        .await;
}

async fn wait_until_ready_at(port: u16) {
    eventually("the scorer is ready", START_TIME, async || {
        (health(port).await == Some(ServingStatus::Serving)).then_some(())
    })
    .await;
}
