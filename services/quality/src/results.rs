//! What came out: one JSON line a cell, only ever appended to.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use domain::TrainSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// Name of the data set.
    pub(crate) data: String,
    /// Its hash, items left cold included.
    pub(crate) dataset: String,
    /// Hash of the specification without its seed, for people.
    pub(crate) spec_hash: String,
    /// The specification: what a line is found by, so that a field that is added with its default
    /// changes nothing.
    pub(crate) spec: TrainSpec,
    /// What computed.
    pub(crate) device: String,
    /// Threads it had.
    pub(crate) threads: usize,
    /// Of the whole job.
    pub(crate) seconds: f64,
    /// Of the whole process.
    pub(crate) peak_mb: f64,
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Results(pub(crate) Vec<Line>);

impl Results {
    /// Reads the lines; a file that is not there has none.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", path.display(), number + 1);
            lines.push(serde_json::from_str(line).with_context(place)?);
        }
        Ok(Self(lines))
    }

    /// The line for a specification on a data set, whatever the data set's hash.
    pub(crate) fn find(&self, data: &str, spec: &TrainSpec, cold: bool) -> Option<&Line> {
        self.0
            .iter()
            .rev()
            .find(|line| line.data == name(data, cold) && line.spec == *spec)
    }
}

/// A data set's name in the lines.
pub(crate) fn name(data: &str, cold: bool) -> String {
    if cold {
        format!("{data}, cold")
    } else {
        data.to_owned()
    }
}

/// Adds a line.
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
pub(crate) fn hash(spec: &TrainSpec) -> anyhow::Result<String> {
    let bytes = serde_json::to_vec(&TrainSpec {
        seed: 0,
        ..spec.clone()
    })?;
    Ok(hex::encode(&Sha256::digest(bytes)[..8]))
}
