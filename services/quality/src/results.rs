//! What came out: one JSON line a cell, only ever appended to.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use domain::TrainSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What one cell came to: a line of `quality/results.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// Name of the data set.
    pub(crate) data: String,
    /// Hash of the data set, with the items that were left cold.
    pub(crate) dataset: String,
    /// Hash of the specification without its seed, for people.
    pub(crate) spec_hash: String,
    /// The specification: what a line is found by, so that a field that is
    /// added with its default changes nothing.
    pub(crate) spec: TrainSpec,
    /// Name of the device that computed.
    pub(crate) device: String,
    /// Threads that computed.
    pub(crate) threads: usize,
    /// Time of the whole job.
    pub(crate) seconds: f64,
    /// Most memory that the process held, in MiB.
    pub(crate) peak_mb: f64,
    /// Metrics by their key.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// All lines of the file, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Results {
    lines: Vec<Line>,
}

impl Results {
    /// Reads the lines; a file that is not there has none.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            other => other
                .with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let parsed = serde_json::from_str(line);
            let line = parsed.with_context(|| {
                format!("{}:{}", path.display(), number + 1)
            })?;
            lines.push(line);
        }

        Ok(Self { lines })
    }

    /// The latest line for a specification on a data set, whatever the data
    /// set's hash.
    pub(crate) fn find(
        &self,
        data: &str,
        spec: &TrainSpec,
        is_cold: bool,
    ) -> Option<&Line> {
        let data = name(data, is_cold);
        let mut latest_first = self.lines.iter().rev();
        latest_first.find(|line| line.data == data && line.spec == *spec)
    }
}

/// A data set's name in the lines; with items left cold it is another one.
pub(crate) fn name(data: &str, is_cold: bool) -> String {
    if is_cold {
        format!("{data}, cold")
    } else {
        data.to_owned()
    }
}

/// Appends a line to the file.
pub(crate) fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(format!("{}\n", line.trim_end()).as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// Hash of a specification without its seed.
pub(crate) fn spec_hash(spec: &TrainSpec) -> anyhow::Result<String> {
    let mut spec = spec.clone();
    spec.seed = 0;
    let bytes = serde_json::to_vec(&spec)?;
    Ok(hex::encode(&Sha256::digest(bytes)[..8]))
}
