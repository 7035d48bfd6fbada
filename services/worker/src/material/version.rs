//! The files of a version that a job starts from, or that is compared.

use domain::{ArtifactId, ModelVersion};
use model::read_manifest;
use storage::{Artifacts, Kind};

use crate::contract::input::EarlierVersion;
use crate::error::Error;

impl EarlierVersion {
    /// Opens the files of a version, verified.
    ///
    /// # Errors
    /// When its model or the data set that it was trained on is not there or
    /// damaged.
    pub(crate) async fn open(
        artifacts: &Artifacts,
        version: &ModelVersion,
    ) -> Result<Self, Error> {
        let id = ArtifactId::from(version);
        let model = artifacts.open_verified(Kind::Model, &id).await?;
        let manifest = read_manifest(&model).map_err(Error::Earlier)?;
        let dataset = ArtifactId::from(&manifest.dataset);
        let dataset = artifacts.open_verified(Kind::Dataset, &dataset).await?;
        Ok(Self { model, dataset })
    }
}
