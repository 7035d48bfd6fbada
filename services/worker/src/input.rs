//! What a training attempt works from and what it leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::TrainSpec;
use model::{Device, Precision};
use tempfile::TempDir;

use crate::Error;

/// What a training attempt works from.
#[derive(Debug, Clone)]
pub struct Input {
    /// Which job it is for.
    pub job: String,
    /// What to do.
    pub spec: TrainSpec,
    /// Folder of the data set.
    pub dataset: PathBuf,
    /// Where backbones come from.
    pub backbones: Backbones,
    /// Folder of the checkpoint to go on from.
    pub resume: Option<PathBuf>,
    /// Where data sets' encoded texts are kept from job to job.
    pub token_files: PathBuf,
    /// A folder for checkpoints and the result.
    pub scratch: PathBuf,
    /// What computes.
    pub device: Device,
    /// Of the backbone while it computes; it is kept in f32.
    pub precision: Precision,
    /// At most one checkpoint in this time.
    pub checkpoint_every: Duration,
}

impl Input {
    /// A job without a coordinator, in one folder of its own: from the start, without checkpoints,
    /// in f32.
    pub fn alone(spec: TrainSpec, dataset: PathBuf, folder: &Path, device: Device) -> Self {
        Self {
            job: "alone".to_owned(),
            spec,
            dataset,
            backbones: Backbones {
                root: folder.to_owned(),
                hub_url: String::new(),
                artifact: None,
            },
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
    /// The model's files.
    pub model: PathBuf,
    /// The backbone's files.
    pub backbone: PathBuf,
    /// Ranking metrics.
    pub metrics: BTreeMap<String, f64>,
}

/// Where backbones come from.
#[derive(Debug, Clone)]
pub struct Backbones {
    /// Folders named by a path, and the hub's cached files, are below this one.
    pub root: PathBuf,
    /// Answers `GET {url}/{repo}/resolve/{revision}/{file}`.
    pub hub_url: String,
    /// The folder of the artifact that the job names.
    pub artifact: Option<PathBuf>,
}

/// Gives a folder in the making its place. Workers that share the place may do so at the same time:
/// the first to finish wins, the files are the same.
pub(crate) fn put_in_place(making: TempDir, place: &Path) -> Result<(), Error> {
    let made = making.keep();
    match std::fs::rename(&made, place) {
        Err(_) if place.exists() => std::fs::remove_dir_all(&made).map_err(Error::file(&made)),
        other => other.map_err(Error::file(place)),
    }
}

pub(crate) fn new_folder(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = parent.join(name);
    std::fs::create_dir(&folder).map_err(Error::file(&folder))?; // the parent is gone when the attempt was given up
    Ok(folder)
}
