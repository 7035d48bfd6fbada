//! The backbone that a job stands on: drawn at random, or read from a folder, an artifact, or a
//! hub's cached files.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Backbone, BackboneLocation};
use model::{Gpt2, Gpt2Config, load_backbone, random_backbone};

use crate::Error;
use crate::input::{Backbones, Input, put_in_place};
use crate::progress::Progress;

/// The backbone is the job's own work, not somebody's file or seed.
pub(crate) fn is_warmed_up(backbone: &Backbone) -> bool {
    matches!(backbone, Backbone::Random(shape) if shape.warmup_epochs > 0)
}

/// A checkpoint's own backbone when it was warmed up, else the one that the specification names.
pub(crate) fn start(input: &Input, progress: &Progress) -> Result<(Gpt2Config, Gpt2), Error> {
    let location = match (&input.spec.backbone, &input.resume) {
        (Backbone::Random(_), Some(folder)) if is_warmed_up(&input.spec.backbone) => {
            return load_backbone(folder, &input.device).map_err(Error::Backbone);
        }
        (Backbone::Random(shape), _) => return Ok(random_backbone(shape, &input.device)),
        (Backbone::Path(location), _) => location,
    };
    let from = &input.backbones;
    let folder = match location {
        BackboneLocation::Folder(path) => confined(&from.root, path)?,
        BackboneLocation::Artifact(id) => from.artifact.clone().ok_or_else(|| {
            Error::Spec(format!(
                "backbone.path: the artifact `{id}` was not fetched"
            ))
        })?,
        BackboneLocation::Hub { repo, revision } => from.cached(repo, revision, progress)?,
    };
    let (config, gpt2) = load_backbone(&folder, &input.device).map_err(Error::Backbone)?;
    config.check_prompts(&folder).map_err(Error::Backbone)?;
    Ok((config, gpt2))
}

/// `path` below `root`, links resolved; anything that leads outside is refused.
fn confined(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let missing =
        |path: PathBuf| move |source| Error::Backbone(model::Error::File { path, source });
    let inside = root.canonicalize().map_err(missing(root.join(path)))?;
    let folder = inside
        .join(path)
        .canonicalize()
        .map_err(missing(inside.join(path)))?;
    if !folder.starts_with(&inside) {
        return Err(Error::Spec(format!(
            "backbone.path `{path}` leads outside of the worker's backbone root"
        )));
    }
    Ok(folder)
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// A hub that says nothing for this long is out of reach.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest file that is fetched: GPT-2 XL in f32 has 6.4 GB.
const MAX_BYTES: u64 = 16 << 30;
/// Bytes between two looks at whether the job is to stop.
const CHUNK_BYTES: u64 = 1 << 20;

impl Backbones {
    /// The folder with a hub's files; fetched once, whole or not at all, then read without a
    /// network.
    fn cached(&self, repo: &str, revision: &str, progress: &Progress) -> Result<PathBuf, Error> {
        let folder = self
            .root
            .join("hub")
            .join(repo)
            .join("revisions")
            .join(revision);
        if folder.exists() {
            return Ok(folder);
        }
        let parent = folder.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(parent).map_err(Error::file(parent))?;
        let making = tempfile::Builder::new()
            .prefix("partial-")
            .tempdir_in(&self.root)
            .map_err(Error::file(&self.root))?;
        let hub = Hub::new(
            &self.hub_url,
            (repo, revision),
            (making.path(), &folder),
            progress,
        );
        hub.fetch(CONFIG)?;
        match hub.fetch(WEIGHTS) {
            Ok(()) => {}
            Err(Error::Hub { source, .. }) if matches!(*source, ureq::Error::StatusCode(404)) => {
                hub.fetch(INDEX)?;
                for shard in model::shard_names(making.path()).map_err(Error::Backbone)? {
                    hub.fetch(&shard)?;
                }
            }
            Err(error) => return Err(error),
        }
        put_in_place(making, &folder)?;
        Ok(folder)
    }
}

/// One revision of a repository.
struct Hub<'a> {
    agent: ureq::Agent,
    url: String,
    /// Where files are written.
    making: &'a Path,
    /// Where they will be.
    folder: &'a Path,
    progress: &'a Progress,
}

impl<'a> Hub<'a> {
    fn new(
        hub_url: &str,
        (repo, revision): (&str, &str),
        (making, folder): (&'a Path, &'a Path),
        progress: &'a Progress,
    ) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build();
        let url = format!(
            "{}/{repo}/resolve/{revision}",
            hub_url.trim_end_matches('/')
        );
        Self {
            agent: config.new_agent(),
            url,
            making,
            folder,
            progress,
        }
    }

    fn fetch(&self, name: &str) -> Result<(), Error> {
        let (url, path) = (format!("{}/{name}", self.url), self.making.join(name));
        let failed = |source| Error::Hub {
            url: url.clone(),
            folder: self.folder.to_owned(),
            source: Box::new(source),
        };
        tracing::info!(url, "fetching a backbone");
        let mut answer = self.agent.get(&url).call().map_err(failed)?;
        let mut file = std::fs::File::create(&path).map_err(Error::file(&path))?;
        let mut body = answer.body_mut().with_config().limit(MAX_BYTES).reader();
        loop {
            self.progress.check()?;
            let n = std::io::copy(&mut body.by_ref().take(CHUNK_BYTES), &mut file)
                .map_err(|e| failed(e.into()))?;
            if n == 0 {
                return file.sync_all().map_err(Error::file(&path));
            }
        }
    }
}
