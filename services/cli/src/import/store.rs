//! A data set into the artifact store and its histories beside it: both or
//! neither.

use std::path::Path;

use anyhow::{Context, bail};
use dataset::{Dataset, Report};
use domain::ArtifactId;
use proto::pb;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::connect;
use storage::{Artifacts, Kind, Storage};
use tonic::Code;

use crate::import::reading::{Reading, read};
use crate::import::replaced::Replaced;
use crate::import::seeding::{SeededSplits, Seeding};
use crate::settings::Settings;

/// A data set that is in the store.
pub(crate) struct StoredDataset {
    /// The hash of its content.
    pub(crate) id: ArtifactId,
    /// How many events were new to the histories.
    pub(crate) n_seeded: usize,
    /// How many events of an earlier data set of this name were taken back.
    pub(crate) n_replaced: usize,
}

/// Imports a path where running services see it, and seeds the histories.
/// Returns the data set, what its reading said, and its id.
pub(crate) async fn import_and_seed(
    path: &Path,
    reading: &Reading,
    settings: &Settings,
) -> anyhow::Result<(Dataset, Report, String)> {
    let seeding = Seeding::open(settings, SeededSplits::All).await?;
    let (dataset, report) = read(path, reading, &settings.storage).await?;
    let stored = store_and_seed(&dataset, seeding, settings).await?;
    Ok((dataset, report, stored.id.into()))
}

/// Stores a data set and seeds its histories; when that fails nothing new is
/// left.
pub(crate) async fn store_and_seed(
    dataset: &Dataset,
    seeding: Seeding,
    settings: &Settings,
) -> anyhow::Result<StoredDataset> {
    let artifacts = Artifacts::open(&settings.storage)?;
    let before = artifacts.list(Kind::Dataset).await?;
    let id = store(&artifacts, dataset).await?;
    match check_and_seed(dataset, &id, seeding, settings).await {
        Ok((n_seeded, n_replaced)) => Ok(StoredDataset {
            id,
            n_seeded,
            n_replaced,
        }),
        Err(error) => {
            if !before.contains(&id) {
                artifacts.delete(Kind::Dataset, &id).await?;
            }

            Err(error.context("the data set was not kept"))
        }
    }
}

/// Stores a data set where services of this process see it, and seeds the
/// histories with the given splits. Returns its id.
pub(crate) async fn store_in(
    storage: &Storage,
    dataset: &Dataset,
    splits: SeededSplits,
) -> anyhow::Result<String> {
    let id = store(&storage.artifacts, dataset).await?;
    let mut seeding = Seeding::into_store(storage.clone(), splits);
    seeding.record(dataset).await?;
    replace(&storage.artifacts, dataset, &mut seeding).await?;
    Ok(id.into())
}

/// Writes a data set into the artifact store; nothing is left of one that fails
/// half-way.
async fn store(
    artifacts: &Artifacts,
    dataset: &Dataset,
) -> anyhow::Result<ArtifactId> {
    let staging = tempfile::tempdir()?;
    dataset.write(staging.path())?;
    Ok(artifacts.put(Kind::Dataset, staging.path()).await?)
}

async fn check_and_seed(
    dataset: &Dataset,
    id: &ArtifactId,
    mut seeding: Seeding,
    settings: &Settings,
) -> anyhow::Result<(usize, usize)> {
    check_that_services_see(id, settings).await?;
    let seeded = seeding.record(dataset).await;
    let n_seeded = seeded.context("the histories could not be seeded")?;
    let artifacts = Artifacts::open(&settings.storage)?;
    let replaced = replace(&artifacts, dataset, &mut seeding).await;
    let n_replaced = replaced.context(
        "what an earlier data set of this name seeded could not be taken back",
    )?;
    Ok((n_seeded, n_replaced))
}

/// Takes back what earlier data sets of the same name and catalogue seeded and
/// this one does not have: the file was corrected.
async fn replace(
    artifacts: &Artifacts,
    dataset: &Dataset,
    seeding: &mut Seeding,
) -> anyhow::Result<usize> {
    let mut n_replaced = 0;
    for old in Replaced::all_by(&dataset.manifest, artifacts).await? {
        if let Some(old) = old.dataset() {
            n_replaced += seeding.forget_replaced(&old, dataset).await?;
        }
    }
    Ok(n_replaced)
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
    let mut seeding = Seeding::open(settings, SeededSplits::All).await?;
    seeding.forget(&dataset).await
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
