//! A Redis of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, eventually, free_port};

/// A Redis in the role `store` (append-only, no eviction) or `cache`.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    port: u16,
    folder: PathBuf,
    is_durable: bool,
}

impl Redis {
    /// A Redis that keeps everything it acknowledges.
    pub async fn store(folder: &Path) -> Self {
        Self::start(folder, true).await
    }

    /// A Redis that may lose everything.
    pub async fn cache(folder: &Path) -> Self {
        Self::start(folder, false).await
    }

    async fn start(folder: &Path, is_durable: bool) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut redis = Self {
            process: None,
            port: free_port(),
            folder: folder.to_owned(),
            is_durable,
        };
        redis.resume().await;
        redis
    }

    /// Starts it again on the same port with the same folder.
    pub async fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        command.arg("--dir").arg(&self.folder).stdout(Stdio::null());
        if self.is_durable {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        } else {
            command.args([
                "--maxmemory",
                "64mb",
                "--maxmemory-policy",
                "allkeys-lru",
            ]);
        }
        self.process = Some(Process::start(&mut command));
        let port = self.port;
        eventually("redis answers", Duration::from_secs(10), async || {
            (redis_cli(port, &["PING"]).trim() == "PONG").then_some(())
        })
        .await;
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Stops it without ending it (SIGSTOP): its port is open and says nothing.
    pub fn freeze(&self) {
        self.process.as_ref().unwrap().signal("STOP");
    }

    /// Lets it go on after [`Redis::freeze`] (SIGCONT).
    pub fn thaw(&self) {
        self.process.as_ref().unwrap().signal("CONT");
    }

    /// Runs one command through `redis-cli`; returns what it prints.
    pub fn command(&self, arguments: &[&str]) -> String {
        redis_cli(self.port, arguments)
    }

    /// The URL by which services name it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn redis_cli(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(arguments)
        .output();
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}
