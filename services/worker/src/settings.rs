//! How a worker is set up. `config.toml` beside this crate says what each
//! setting is and holds the defaults.

use std::path::PathBuf;

use model::Precision;
use serde::Deserialize;
use service::MetricsSettings;
use service::client::Target;

/// The worker's settings; unknown ones are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The worker's name in jobs and logs; made up at the start where it is
    /// empty.
    pub name: String,
    /// The device that computes, or `auto` for the fastest one.
    pub device: String,
    /// What jobs may need of this worker: names with commas between them.
    pub labels: String,
    /// Memory of the device that computes, in GiB; 0: looked up where it is a
    /// CPU.
    pub memory_gib: u32,
    /// What the backbone computes in.
    pub precision: Precision,
    /// The folder below which backbones are found and kept.
    pub backbone_root: PathBuf,
    /// The hub that `hf://` backbones are fetched from.
    pub hub_url: String,
    /// The folder for files in the making.
    pub scratch: PathBuf,
    /// The file with what `cllm4rec worker calibrate` measured here, if it was
    /// run.
    pub calibration: PathBuf,
    /// The shortest time between two checkpoints, in seconds.
    pub checkpoint_every_s: u64,
    /// The time between two heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// The longest time that giving a job back may take, in seconds.
    pub grace_s: u64,
    /// The coordinator's port for workers.
    pub coordinator: Target,
    /// Where metrics are scraped.
    #[serde(default)]
    pub metrics: MetricsSettings,
    /// What is logged, and how.
    pub log: service::telemetry::Settings,
    /// Where things are kept; a worker uses the artifacts alone.
    pub storage: storage::Settings,
}

impl Settings {
    /// The names in `labels`.
    pub(crate) fn labels(&self) -> Vec<String> {
        let names = self.labels.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect()
    }
}

/// The default of every setting, in TOML.
pub const DEFAULTS: &str = include_str!("../config.toml");
