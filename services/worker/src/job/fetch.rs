//! Gets everything that a training needs onto the local disk, verified.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{
    ArtifactId, Backbone, BackboneLocation, Cause, CauseKind, ModelVersion,
    TrainSpec,
};
use proto::pb;
use storage::{Artifacts, Kind};

use crate::contract::input::{Backbones, EarlierVersion, Input};
use crate::error::Error;
use crate::job::equipment::Equipment;

/// What an attempt at a job trains from, with a scratch folder of its own.
pub(super) async fn input(
    equipment: &Equipment,
    leased: &pb::LeasedJob,
    scratch: &Path,
) -> Result<Input, Cause> {
    let Equipment {
        settings,
        artifacts,
        ..
    } = equipment;
    let spec = spec(leased)?;
    let dataset = artifacts
        .open_verified(Kind::Dataset, &ArtifactId::from(&spec.dataset))
        .await
        .map_err(|error| unusable(&error, CauseKind::BadData))?;
    let backbones = Backbones {
        root: settings.backbone_root.clone(),
        hub_url: settings.hub_url.clone(),
        artifact: backbone(artifacts, &spec).await?,
    };
    let earlier = match &spec.start_from {
        Some(version) => Some(earlier(artifacts, version).await?),
        None => None,
    };
    Ok(Input {
        job: leased.job.clone(),
        spec,
        dataset,
        backbones,
        earlier,
        resume: checkpoint(artifacts, &leased.checkpoint).await?,
        token_files: settings.scratch.join("tokens"),
        scratch: scratch.to_owned(),
        device: equipment.device.clone(),
        precision: settings.precision,
        checkpoint_every: Duration::from_secs(settings.checkpoint_every_s),
    })
}

fn spec(leased: &pb::LeasedJob) -> Result<TrainSpec, Cause> {
    let spec = leased.spec.clone().unwrap_or_default();
    TrainSpec::try_from(spec)
        .map_err(|invalid| Error::Spec(invalid.to_string()).cause())
}

/// The folders of the version that the job starts from.
async fn earlier(
    artifacts: &Artifacts,
    version: &ModelVersion,
) -> Result<EarlierVersion, Cause> {
    match EarlierVersion::open(artifacts, version).await {
        Ok(files) => Ok(files),
        Err(Error::Storage(error)) => Err(unusable(&error, CauseKind::BadData)),
        Err(error) => Err(error.cause()),
    }
}

/// The folder of the artifact that the job's backbone is, if it is one.
async fn backbone(
    artifacts: &Artifacts,
    spec: &TrainSpec,
) -> Result<Option<PathBuf>, Cause> {
    let Backbone::Path(BackboneLocation::Artifact(id)) = &spec.backbone else {
        return Ok(None);
    };
    match artifacts.open_verified(Kind::Backbone, id).await {
        Ok(folder) => Ok(Some(folder)),
        Err(error) => Err(unusable(&error, CauseKind::BadBackbone)),
    }
}

/// The folder of a checkpoint; without a usable one the job starts over. One
/// that is out of reach is waited for.
async fn checkpoint(
    artifacts: &Artifacts,
    id: &str,
) -> Result<Option<PathBuf>, Cause> {
    // The first attempt has none: the id is empty.
    let Ok(checkpoint) = ArtifactId::new(id) else {
        return Ok(None);
    };
    match artifacts.open_verified(Kind::Checkpoint, &checkpoint).await {
        Ok(folder) => Ok(Some(folder)),
        Err(
            error @ (storage::Error::NotFound { .. }
            | storage::Error::Corrupt { .. }),
        ) => {
            let error = service::chain(&error);
            tracing::warn!(
                checkpoint = id,
                error,
                "starting over: no usable checkpoint"
            );
            Ok(None)
        }
        Err(error) => Err(unusable(&error, CauseKind::Unavailable)),
    }
}

/// An artifact that cannot be opened: of the given kind where it is damaged. One
/// that is missing was there when the job was accepted: this worker does not
/// see it yet, or it was deleted, which the coordinator finds out.
fn unusable(error: &storage::Error, damaged: CauseKind) -> Cause {
    let kind = match error {
        storage::Error::Corrupt { .. } => damaged,
        storage::Error::NotFound { .. }
        | storage::Error::Unavailable { .. }
        | storage::Error::Unwritable { .. }
        | storage::Error::NotRecorded { .. }
        | storage::Error::Contended(_)
        | storage::Error::Setting { .. }
        | storage::Error::InUse(_)
        | storage::Error::File { .. } => CauseKind::Unavailable,
    };
    Cause {
        kind,
        message: service::chain(error),
    }
}
