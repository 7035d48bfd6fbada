//! Logs on standard error: text for people, JSON for machines.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The `[log]` section of every service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is logged: a filter such as `info` or `info,scorer=debug`.
    pub filter: String,
    /// Writes one JSON object a line instead of text.
    pub json: bool,
}

/// Starts logging; a second call in one process changes nothing.
pub fn start(settings: &Settings) {
    let filter = EnvFilter::try_new(&settings.filter)
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = if settings.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    drop(started); // an error means that logging has started already
}
