//! What a training attempt works from and what it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::TrainSpec;
use model::{Device, Precision};

/// What a training attempt works from; everything is on the local disk.
#[derive(Debug, Clone)]
pub struct Input {
    /// The id of the job.
    pub job: String,
    /// What the job is to do.
    pub spec: TrainSpec,
    /// The folder of the data set.
    pub dataset: PathBuf,
    /// Where backbones come from.
    pub backbones: Backbones,
    /// The version that the job starts from.
    pub earlier: Option<EarlierVersion>,
    /// The folder of the checkpoint to go on from.
    pub resume: Option<PathBuf>,
    /// The folder where data sets' encoded texts are kept from job to job.
    pub token_files: PathBuf,
    /// A folder for checkpoints and the result.
    pub scratch: PathBuf,
    /// The device that computes.
    pub device: Device,
    /// What the backbone computes in; it is kept in f32.
    pub precision: Precision,
    /// The shortest time between two checkpoints.
    pub checkpoint_every: Duration,
}

impl Input {
    /// A job without a coordinator, in one folder of its own: from the start,
    /// without checkpoints, in f32.
    pub fn alone(
        spec: TrainSpec,
        dataset: PathBuf,
        folder: &Path,
        device: Device,
    ) -> Self {
        let backbones = Backbones {
            root: folder.to_owned(),
            hub_url: String::new(),
            artifact: None,
        };
        Self {
            job: "alone".to_owned(),
            spec,
            dataset,
            backbones,
            earlier: None,
            resume: None,
            token_files: folder.join("tokens"),
            scratch: folder.to_owned(),
            device,
            precision: Precision::F32,
            checkpoint_every: Duration::MAX,
        }
    }
}

/// What a training attempt leaves in its scratch folder.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The folder with the model's files.
    pub model: PathBuf,
    /// The folder with the backbone's files.
    pub backbone: PathBuf,
    /// Ranking metrics by the keys of `domain::RankedBy`.
    pub metrics: BTreeMap<String, f64>,
}

/// A version that a job starts from.
#[derive(Debug, Clone)]
pub struct EarlierVersion {
    /// The folder of its model.
    pub model: PathBuf,
    /// The folder of the data set that it was trained on.
    pub dataset: PathBuf,
}

/// Where backbones come from.
#[derive(Debug, Clone)]
pub struct Backbones {
    /// Folders named by a path, and the hub's cached files, are below this one.
    pub root: PathBuf,
    /// The hub's address; it answers `GET
    /// {url}/{repo}/resolve/{revision}/{file}`.
    pub hub_url: String,
    /// The folder of the artifact that the job names.
    pub artifact: Option<PathBuf>,
}
