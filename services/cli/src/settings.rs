//! The command line's settings.

use serde::Deserialize;
use service::client::Target;

/// Every setting with its default; a file (`--config`) and the environment go
/// over them.
pub(crate) const DEFAULTS: &str = include_str!("../config.toml");

/// What `config.toml` beside this crate says, which explains each field and
/// holds its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) coordinator: Target,
    pub(crate) scorer: Target,
    pub(crate) storage: storage::Settings,
    pub(crate) log: service::telemetry::Settings,
}
