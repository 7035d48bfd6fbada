//! A data set into the store of this command, where running services see it.

use std::path::Path;

use anyhow::{Context, bail};
use dataset::Dataset;
use domain::ArtifactId;
use ingestion::{Ingested, Ingestion, SeededSplits, Seeding};
use proto::pb;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::connect;
use storage::{Artifacts, Kind, Storage};
use tonic::Code;

use crate::import::reading::{ReadData, Reading, read};
use crate::import::seeding::{self, Keeper};
use crate::settings::Settings;

/// Imports a path where running services see it, and seeds the histories.
/// Returns the data set, what its reading said, and its id.
pub(crate) async fn import_and_seed(
    path: &Path,
    reading: &Reading,
    settings: &Settings,
) -> anyhow::Result<(ReadData, String)> {
    let seeding = seeding::open(settings, SeededSplits::All).await?;
    let read = read(path, reading, &settings.storage).await?;
    let stored = store_and_seed(&read, seeding, settings).await?;
    Ok((read, stored.id.into()))
}

/// Stores a data set and seeds its histories; when that fails nothing new is
/// left.
pub(crate) async fn store_and_seed(
    read: &ReadData,
    mut seeding: Seeding<Keeper>,
    settings: &Settings,
) -> anyhow::Result<Ingested> {
    let artifacts = Artifacts::open(&settings.storage)?;
    let begun = Ingestion::begin(&artifacts, &read.dataset, &read.report);
    let begun = begun.await?;
    if let Err(error) = check_that_services_see(begun.id(), settings).await {
        begun.withdraw().await?;
        return Err(error.context("the data set was not kept"));
    }
    let seeded = begun.seed(&mut seeding).await;
    seeded.context("the data set was not kept")
}

/// Stores a data set where services of this process see it, and seeds the
/// histories with the given splits. Returns its id.
pub(crate) async fn store_in(
    storage: &Storage,
    read: &ReadData,
    splits: SeededSplits,
) -> anyhow::Result<String> {
    let begun =
        Ingestion::begin(&storage.artifacts, &read.dataset, &read.report);
    let mut seeding = Seeding {
        splits,
        keeper: storage.clone(),
    };
    let stored = begun.await?.seed(&mut seeding).await?;
    Ok(stored.id.into())
}

/// Takes back what a stored data set seeded; returns how many events were
/// there.
pub(crate) async fn forget_histories(
    artifacts: &Artifacts,
    id: &ArtifactId,
    settings: &Settings,
) -> anyhow::Result<usize> {
    let folder = artifacts.folder(Kind::Dataset, id).await?;
    let dataset = Dataset::read_without_texts(&folder)?;
    let mut seeding = seeding::open(settings, SeededSplits::All).await?;
    let forgotten = seeding.forget(&dataset).await;
    forgotten.map_err(|error| anyhow::anyhow!(error))
}

/// A running coordinator must know the data set: else it was stored where no
/// service looks. None running is fine.
async fn check_that_services_see(
    id: &ArtifactId,
    settings: &Settings,
) -> anyhow::Result<()> {
    let spec = pb::TrainSpec {
        dataset: format!("datasets/{id}"),
        ..pb::TrainSpec::default()
    };
    let request = pb::TrainJobRequest {
        spec: Some(spec),
        validate_only: true,
        ..pb::TrainJobRequest::default()
    };
    let mut coordinator =
        TrainingServiceClient::new(connect(&settings.coordinator)?);
    match coordinator.train_job(request).await {
        Err(status) if status.code() == Code::NotFound => bail!(
            "the running coordinator keeps its data sets elsewhere than {}: set CLLM4REC__STORAGE__ARTIFACTS and \
             CLLM4REC__STORAGE__STORE to its places",
            std::path::absolute(&settings.storage.artifacts)?.display()
        ),
        Ok(_) | Err(_) => Ok(()),
    }
}
