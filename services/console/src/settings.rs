//! What an operator can set; the defaults are in `config.toml`.

use serde::Deserialize;
use service::Port;
use service::client::Target;

/// The defaults of [`Settings`], as TOML.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The console's settings; unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where browsers find the pages.
    pub pages: Port,
    /// The coordinator.
    pub coordinator: Target,
    /// The scorer.
    pub scorer: Target,
    /// What is logged.
    pub log: service::telemetry::Settings,
}
