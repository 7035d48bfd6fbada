//! Who gets a list.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context;
use domain::ArtifactId;
use storage::{Artifacts, Kind};

/// The ids that a file has, one a line, each once.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--users {}", path.display()))?;
    let mut known = HashSet::new();
    let mut ids = Vec::new();
    for line in text.lines() {
        let id = line.trim();
        if !id.is_empty() && known.insert(id) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

/// Everybody that a version was trained on; `version` is
/// `modelVersions/{version}`.
pub(crate) async fn of_version(
    artifacts: &Artifacts,
    version: &str,
) -> anyhow::Result<Vec<String>> {
    let bytes = file_of_version(artifacts, version, "users.json").await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Every item of a version's catalogue.
pub(crate) async fn items_of_version(
    artifacts: &Artifacts,
    version: &str,
) -> anyhow::Result<Vec<String>> {
    let bytes = file_of_version(artifacts, version, "items.jsonl").await?;
    let mut ids = Vec::new();
    for line in serde_json::Deserializer::from_slice(&bytes).into_iter() {
        let item: domain::Item = line?;
        ids.push(item.id.to_string());
    }
    Ok(ids)
}

async fn file_of_version(
    artifacts: &Artifacts,
    version: &str,
    file: &str,
) -> anyhow::Result<Vec<u8>> {
    let id = version.trim_start_matches("modelVersions/");
    let id = ArtifactId::new(id)?;
    let read = artifacts.read(Kind::Model, &id, file).await;
    read.with_context(|| {
        format!(
            "{file} of {version}: set CLLM4REC__STORAGE__ARTIFACTS to the services' folder, or name the users with --users FILE"
        )
    })
}
