//! What the coordinator reads of a stored data set's manifest: no more of it than
//! each question needs, so that manifests of other programs are understood.

use domain::{ArtifactId, Catalog, DatasetId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage::{Artifacts, Kind};

use crate::error::Error;

/// What a data set is called, and whose items it has.
#[derive(Debug, Deserialize)]
pub(crate) struct About {
    /// What people call it.
    pub(crate) name: String,
    /// Namespace of its item ids.
    pub(crate) catalog: Catalog,
}

/// Reads a part of a data set's manifest.
pub(crate) async fn read<T: DeserializeOwned>(
    artifacts: &Artifacts,
    dataset: &DatasetId,
) -> Result<T, Error> {
    let id = ArtifactId::from(dataset);
    let manifest = artifacts.read(Kind::Dataset, &id, "dataset.json").await?;
    serde_json::from_slice(&manifest).map_err(Error::BadDataset)
}
