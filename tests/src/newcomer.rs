//! `cllm4rec` as a newcomer uses it: all services in one process, one folder,
//! no Redis.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use service::client::Connection;
use tempfile::TempDir;

use crate::connection::connection;
use crate::process::{Process, binary, eventually, free_port};

/// Long enough for all services to start on a busy machine.
const START_TIME: Duration = Duration::from_secs(30);

/// A folder to work in, and commands that talk to the services that run in it.
#[derive(Debug)]
pub struct Newcomer {
    folder: TempDir,
    api: u16,
    workers: u16,
    scorer: u16,
    console: u16,
}

impl Newcomer {
    /// An empty folder and ports that nobody listens on.
    #[expect(
        clippy::new_without_default,
        reason = "each has a folder and ports of its own: none is the default"
    )]
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            api: free_port(),
            workers: free_port(),
            scorer: free_port(),
            console: free_port(),
        }
    }

    /// The folder that commands run in; it ends with the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command in the folder, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("cllm4rec"));
        command.args(arguments).current_dir(self.folder());
        for (name, port) in [
            ("COORDINATOR__API__ADDRESS", self.api),
            ("COORDINATOR__WORKERS__ADDRESS", self.workers),
            ("SCORER__API__ADDRESS", self.scorer),
            ("CONSOLE__PAGES__ADDRESS", self.console),
        ] {
            command.env(name, format!("127.0.0.1:{port}"));
        }
        for (name, port) in [
            ("CLLM4REC__COORDINATOR__URL", self.api),
            ("CLLM4REC__SCORER__URL", self.scorer),
        ] {
            command.env(name, format!("http://127.0.0.1:{port}"));
        }
        command.env("COORDINATOR__LOG__FILTER", "warn");
        // A version that is asked for at once is loaded meanwhile, however slow
        // the machine is.
        command.env("SCORER__DEFAULT_DEADLINE_MS", "30000");
        command
    }

    /// A connection to the coordinator's port for clients.
    pub(crate) fn coordinator(&self) -> Connection {
        connection(self.api)
    }

    /// The scorer's port.
    pub fn scorer_port(&self) -> u16 {
        self.scorer
    }

    /// A connection to the scorer's port.
    pub(crate) fn scorer(&self) -> Connection {
        connection(self.scorer)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The exit code of a command.
    pub fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }

    /// Runs a command that succeeds and writes JSON; returns its last line.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let lines = self.json_lines(arguments);
        lines.into_iter().next_back().unwrap()
    }

    /// Runs a command that succeeds and writes nothing but JSON; returns its
    /// lines.
    pub fn json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--json"], arguments].concat());
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {err}");
        let mut lines = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let value = serde_json::from_str(line);
            lines.push(
                value.unwrap_or_else(|e| panic!("{arguments:?}: {e}: {line}")),
            );
        }
        lines
    }

    /// Starts all services (`cllm4rec up`); returns once they answer.
    pub async fn up(&self) -> Process {
        self.up_with(&[]).await
    }

    /// Starts all services with more settings; returns once they answer.
    pub async fn up_with(&self, settings: &[(&str, &str)]) -> Process {
        let mut command = self.command(&["up"]);
        command.envs(settings.iter().copied());
        let process = Process::start(&mut command);
        eventually("up answers", START_TIME, async || {
            self.run(&["train", "list"]).status.success().then_some(())
        })
        .await;
        process
    }
}
