//! The coordinator's settings, as its TOML file has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use service::{MetricsSettings, Port};

use crate::gc::keep::Keep;
use crate::queues::QueueLimits;

/// The coordinator's settings; `config.toml` beside this crate says what each
/// is and holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The port for training jobs and the model registry.
    pub api: Port,
    /// The port for workers.
    pub workers: Port,
    /// How long a lease lasts without a heartbeat, in seconds.
    pub lease_term_s: u64,
    /// How long a job waits for something out of reach before it fails, in
    /// seconds.
    pub retry_for_s: u64,
    /// How long the checkpoint of a job that ended without a model is kept, in
    /// hours.
    pub keep_checkpoints_h: u64,
    /// How long calls get to end, and workers to give their jobs back, when the
    /// process is to stop, in seconds.
    pub grace_s: u64,
    /// The queues that jobs may name, and what each may have.
    pub queues: BTreeMap<String, QueueLimits>,
    /// How much is kept of what nothing needs.
    pub keep: Keep,
    /// Where metrics are scraped.
    #[serde(default)]
    pub metrics: MetricsSettings,
    /// What is logged, and how.
    pub log: service::telemetry::Settings,
    /// Where things are kept.
    pub storage: storage::Settings,
}

/// Holds the defaults of [`Settings`], as TOML.
pub const DEFAULTS: &str = include_str!("../config.toml");
