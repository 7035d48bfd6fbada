//! What an operator can set. All defaults are in `config.toml` beside this
//! crate, which also says more about each setting.

use model::Precision;
use serde::Deserialize;
use service::{MetricsSettings, Port};

/// The defaults of [`Settings`], as TOML.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The scorer's settings; unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The device that computes user states, such as `flex`, or `auto`.
    pub device: String,
    /// Time between two looks at the labels, in milliseconds.
    pub follow_ms: u64,
    /// Precision of a backbone's weights, as user states are computed; item
    /// rows have one of their own, [`Self::scoring_precision`].
    pub backbone_precision: Precision,
    /// How many model versions are in memory at once.
    pub max_models: usize,
    /// Memory for model versions with their backbones, in MiB; 0: as much as
    /// they take.
    pub model_memory_mb: u64,
    /// Requests that may be inside at once, and as many calls of
    /// `HistoryService` beside them.
    pub max_requests: usize,
    /// Requests that may keep the cores busy, not waiting for the model; 0:
    /// five a core.
    pub max_running: usize,
    /// Streams of `BatchRecommend` that may be open at once.
    pub max_streams: usize,
    /// A stream without a request for so long is closed, in seconds.
    pub stream_idle_s: u64,
    /// Tokens of prompts that may wait for the model.
    pub max_queue_tokens: usize,
    /// Tokens of prompts in one forward pass.
    pub max_batch_tokens: usize,
    /// Threads that rank catalogues; 0: one a core.
    pub ranking_threads: usize,
    /// Deadline of a request that names none, in milliseconds.
    pub default_deadline_ms: u64,
    /// Precision of item rows and user states when a catalogue is scored.
    pub scoring_precision: Precision,
    /// Share of the users of `live` who get the version of the label `canary`,
    /// 0 to 1.
    pub canary_share: f64,
    /// Share of the users of `live` whose lists are compared with the label
    /// `shadow`'s, 0 to 1.
    pub shadow_share: f64,
    /// How long a prompt waits for others, in milliseconds.
    pub max_wait_ms: u64,
    /// Memory for user states, in MiB.
    pub state_cache_mb: u64,
    /// Memory for remembered histories, in MiB.
    pub history_cache_mb: u64,
    /// Where metrics are scraped.
    #[serde(default)]
    pub metrics: MetricsSettings,
    /// Time that calls get to end on SIGTERM, in seconds.
    pub grace_s: u64,
    /// The port of `RecommendationService` and `HistoryService`.
    pub api: Port,
    /// What is logged, and how.
    pub log: service::telemetry::Settings,
    /// Where histories, model versions and cached states are kept.
    pub storage: storage::Settings,
}

impl Settings {
    /// How many requests may keep the cores busy.
    pub(crate) fn n_running(&self) -> usize {
        or_per_core(self.max_running, 5)
    }

    /// How many threads rank catalogues.
    pub(crate) fn n_ranking_threads(&self) -> usize {
        or_per_core(self.ranking_threads, 1)
    }
}

/// A number that was set, or where that is 0 so many for each core.
fn or_per_core(set: usize, per_core: usize) -> usize {
    if set > 0 {
        return set;
    }
    per_core * model::n_cores()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_backbone_precision(name: &str) -> Result<Settings, String> {
        let default = "backbone_precision = \"f32\"";
        let wanted = format!("backbone_precision = \"{name}\"");
        let defaults = DEFAULTS.replace(default, &wanted);
        let settings = service::load("scorer", &defaults, None);
        settings.map_err(|error| service::chain(&error))
    }

    #[test]
    fn an_unknown_precision_is_refused_by_name() {
        let bf16 = with_backbone_precision("bf16").unwrap();
        assert_eq!(bf16.backbone_precision, Precision::Bf16);
        let error = with_backbone_precision("int4").unwrap_err();
        assert!(error.contains("int4"), "{error}");
        assert!(error.contains("backbone_precision"), "{error}");
    }
}
