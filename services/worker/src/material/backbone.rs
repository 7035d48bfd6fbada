//! The backbone that a job stands on: drawn at random, or read from a folder,
//! an artifact, or a hub's cached files.

use std::path::{Path, PathBuf};

use domain::{BackboneLocation, Body, RandomBackbone};
use model::Backbone;

use crate::backbones::{hub, shelf};
use crate::contract::input::Input;
use crate::contract::progress::Progress;
use crate::error::Error;
use crate::memory::memory_bytes;

/// True when the backbone is the job's own work, not somebody's file or seed.
pub(crate) fn is_warmed_up(named: &domain::Backbone) -> bool {
    matches!(named, domain::Backbone::Random(shape) if shape.warmup_epochs > 0)
}

/// A checkpoint's own backbone when it was warmed up, else the one that the
/// specification names.
pub(crate) fn start(
    input: &Input,
    progress: &Progress,
) -> Result<Backbone, Error> {
    match (&input.spec.backbone, &input.resume) {
        (named, Some(checkpoint)) if is_warmed_up(named) => {
            Backbone::read(checkpoint, &input.device)
                .map_err(Error::checkpoint(checkpoint))
        }
        (domain::Backbone::Random(shape), _) => {
            // A device of its own memory gets the weights matrix by matrix.
            let is_host = !model::has_own_memory(&input.device);
            let memory = memory_bytes().filter(|_| is_host);
            refuse_without_memory(shape, memory)?;
            Ok(Backbone::random(shape, &input.device))
        }
        (domain::Backbone::Path(location), _) => {
            let folder = folder_of(location, input, progress)?;
            let backbone = Backbone::read(&folder, &input.device)
                .map_err(Error::Backbone)?;
            backbone.check_prompts(&folder).map_err(Error::Backbone)?;
            Ok(backbone)
        }
    }
}

/// Bytes of a weight while it is drawn: the weight, and its copy in the order in
/// which it is computed with.
const BYTES_PER_WEIGHT: f64 = 8.0;

/// Refuses random weights for which there is no memory: to take it would end
/// the process, and with it whatever else runs there.
fn refuse_without_memory(
    shape: &RandomBackbone,
    memory: Option<u64>,
) -> Result<(), Error> {
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    let wanted = gib(Body::from(shape).n_weights() * BYTES_PER_WEIGHT);
    let there = memory.map_or(f64::INFINITY, |bytes| gib(bytes as f64));
    if wanted <= there {
        return Ok(());
    }
    Err(Error::Spec(format!(
        "backbone.random: to draw its weights takes {wanted:.1} GiB, this worker has {there:.1}: \
         make n_layer or n_embd smaller, or let a larger worker have it (`--need-memory-gib {:.0}`)",
        wanted.ceil()
    )))
}

/// The folder of a backbone that the specification names; a hub's is fetched
/// first.
fn folder_of(
    location: &BackboneLocation,
    input: &Input,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let from = &input.backbones;
    match location {
        BackboneLocation::Folder(path) => confined(&from.root, path),
        BackboneLocation::Artifact(id) => {
            from.artifact.clone().ok_or_else(|| {
                Error::Spec(format!(
                    "backbone.path: the artifact `{id}` was not fetched"
                ))
            })
        }
        BackboneLocation::Hub { repo, revision } => {
            hub::cached(from, repo, revision, progress)
        }
    }
}

/// `path` below `root`, links resolved; anything that leads outside is refused.
fn confined(root: &Path, path: &str) -> Result<PathBuf, Error> {
    if !root.join(path).exists() {
        return Err(shelf::missing(root, path));
    }
    let inside = resolved(root)?;
    let folder = resolved(&inside.join(path))?;
    if !folder.starts_with(&inside) {
        return Err(Error::Spec(format!(
            "backbone.path `{path}` leads outside of the worker's backbone root"
        )));
    }
    Ok(folder)
}

/// The path without links; an error where there is nothing.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize()
        .map_err(model::Error::file(path))
        .map_err(Error::Backbone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_for_which_there_is_no_memory_are_not_drawn() {
        let shape = RandomBackbone {
            n_embd: 4_096,
            n_layer: 7,
            ..RandomBackbone::default()
        };
        let refused = refuse_without_memory(&shape, Some(8 << 30));
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("12.0 GiB, this worker has 8.0"),
            "{refused}"
        );
        assert!(refuse_without_memory(&shape, Some(16 << 30)).is_ok());
        assert!(refuse_without_memory(&shape, None).is_ok(), "nobody says");
    }
}
