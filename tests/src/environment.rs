//! The settings of a cluster's processes, as environment variables.

use std::path::Path;

use crate::process::free_port;
use crate::redis::Redis;

/// Where a cluster's services listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) coordinator: u16,
    pub(crate) workers: u16,
    pub(crate) scorer: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        Self {
            coordinator: free_port(),
            workers: free_port(),
            scorer: free_port(),
        }
    }
}

/// The settings of all services of a cluster: everything below one folder.
pub(crate) fn environment(
    folder: &Path,
    store: &Redis,
    cache: &Redis,
    ports: Ports,
) -> Vec<(String, String)> {
    let artifacts = folder.join("artifacts").display().to_string();
    let mut variables = Vec::new();
    for service in ["COORDINATOR", "WORKER", "SCORER", "CLLM4REC"] {
        let storage = [
            ("STORAGE__STORE", store.url()),
            ("STORAGE__CACHE", cache.url()),
            // So that a busy machine makes nobody do without it.
            ("STORAGE__CACHE_TIMEOUT_MS", "1000".to_owned()),
            ("STORAGE__ARTIFACTS", artifacts.clone()),
            ("LOG__FILTER", "warn".to_owned()),
        ];
        for (name, value) in storage {
            variables.push((format!("{service}__{name}"), value));
        }
    }
    let own = [
        ("COORDINATOR__API__ADDRESS", address(ports.coordinator)),
        ("COORDINATOR__WORKERS__ADDRESS", address(ports.workers)),
        ("COORDINATOR__LEASE_TERM_S", "2".to_owned()),
        ("WORKER__COORDINATOR__URL", url(ports.workers)),
        ("WORKER__BACKBONE_ROOT", below(folder, "backbones")),
        ("WORKER__SCRATCH", below(folder, "scratch")),
        ("WORKER__HEARTBEAT_MS", "200".to_owned()),
        ("WORKER__CHECKPOINT_EVERY_S", "1".to_owned()),
        ("SCORER__API__ADDRESS", address(ports.scorer)),
        ("SCORER__FOLLOW_MS", "100".to_owned()),
        ("CLLM4REC__COORDINATOR__URL", url(ports.coordinator)),
        ("CLLM4REC__SCORER__URL", url(ports.scorer)),
    ];
    for (name, value) in own {
        variables.push((name.to_owned(), value));
    }
    variables
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn below(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
