//! A workload file: which kinds of requests are mixed, who asks how often, and
//! how long an answer may take.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// A workload file; every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workload {
    /// Seed of all random choices.
    pub(crate) seed: u64,
    /// Requests of each kind, in proportion.
    pub(crate) kinds: Vec<RequestKind>,
    /// Exponent of the users' popularity: the n-th most active user asks
    /// n^-zipf as often as the first.
    pub(crate) zipf: f64,
    /// gRPC deadline of a request, in milliseconds.
    pub(crate) deadline_ms: u64,
    /// Label of the model version that answers.
    pub(crate) label: String,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            seed: 0,
            kinds: vec![RequestKind::default()],
            zipf: 1.0,
            deadline_ms: 1_000,
            label: "live".to_owned(),
        }
    }
}

/// One kind of request.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RequestKind {
    /// How often, beside the other kinds.
    pub(crate) weight: f64,
    /// How many items are wanted.
    pub(crate) k: u32,
    /// Leave out what the history holds.
    pub(crate) exclude_seen: bool,
    /// One request in so many has `n_excluded` ids of its own; 0: none.
    pub(crate) excluded_one_in: u32,
    /// Ids that such a request leaves out.
    pub(crate) n_excluded: usize,
    /// Items of an inline history that nobody has had before, so that no state
    /// is known; 0: the stored history.
    pub(crate) fresh_history: usize,
    /// Items of an inline history that is the user's own, the same each time;
    /// 0: the stored history.
    pub(crate) own_history: usize,
    /// The priority is `BATCH`, not `INTERACTIVE`.
    pub(crate) is_batch: bool,
}

impl Default for RequestKind {
    fn default() -> Self {
        Self {
            weight: 1.0,
            k: 20,
            exclude_seen: true,
            excluded_one_in: 10,
            n_excluded: 50,
            fresh_history: 0,
            own_history: 0,
            is_batch: false,
        }
    }
}

impl Workload {
    /// Reads the file, or gives the default without one.
    pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text)
            .with_context(|| format!("{} is no workload", path.display()))
    }
}
