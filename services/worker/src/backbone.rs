//! The backbone that a job stands on: drawn at random, or read from a folder, an artifact, or a hub's cached files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Backbone, BackboneLocation};
use model::{Gpt2, Gpt2Config, load_backbone, random_backbone};

use crate::Error;
use crate::run::Input;

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

/// The backbone is the job's own work, not somebody's file or seed.
pub(crate) fn is_warmed_up(backbone: &Backbone) -> bool {
    matches!(backbone, Backbone::Random(shape) if shape.warmup_epochs > 0)
}

/// A checkpoint's own backbone when it was warmed up, else the one that the specification names.
pub(crate) fn start(input: &Input) -> Result<(Gpt2Config, Gpt2), Error> {
    let location = match (&input.spec.backbone, &input.resume) {
        (Backbone::Random(_), Some(folder)) if is_warmed_up(&input.spec.backbone) => {
            return load_backbone(folder, &input.device).map_err(Error::Backbone);
        }
        (Backbone::Random(shape), _) => return Ok(random_backbone(shape, &input.device)),
        (Backbone::Path(location), _) => location,
    };
    let location = BackboneLocation::new(location).map_err(|invalid| Error::Spec(invalid.to_string()))?;
    let from = &input.backbones;
    let folder = match &location {
        BackboneLocation::Folder(path) => confined(&from.root, path)?,
        BackboneLocation::Artifact(id) => from
            .artifact
            .clone()
            .ok_or_else(|| Error::Spec(format!("backbone.path: the artifact `{id}` was not fetched")))?,
        BackboneLocation::Hub { repo, revision } => from.cached(repo, revision)?,
    };
    let (config, gpt2) = load_backbone(&folder, &input.device).map_err(Error::Backbone)?;
    config.check_prompts(&folder).map_err(Error::Backbone)?;
    Ok((config, gpt2))
}

/// `path` below `root`, links resolved; anything that leads outside is refused.
fn confined(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let missing = |path: PathBuf| move |source| Error::Backbone(model::Error::File { path, source });
    let inside = root.canonicalize().map_err(missing(root.join(path)))?;
    let folder = inside.join(path).canonicalize().map_err(missing(inside.join(path)))?;
    if !folder.starts_with(&inside) {
        return Err(Error::Spec(format!("backbone.path `{path}` leads outside of the worker's backbone root")));
    }
    Ok(folder)
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Written last: the files beside it are whole.
const COMPLETE: &str = ".complete";
/// A hub that says nothing for this long is out of reach.
const PATIENCE: Duration = Duration::from_secs(30);

impl Backbones {
    /// The folder with a hub's files; fetched once, then read without a network.
    fn cached(&self, repo: &str, revision: &str) -> Result<PathBuf, Error> {
        let folder = self.root.join("hub").join(repo).join(revision);
        if folder.join(COMPLETE).exists() {
            return Ok(folder);
        }
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let hub = Hub::new(&self.hub_url, repo, revision, &folder);
        hub.fetch(CONFIG)?;
        match hub.fetch(WEIGHTS) {
            Ok(()) => {}
            Err(Error::Hub { source, .. }) if matches!(*source, ureq::Error::StatusCode(404)) => {
                hub.fetch(INDEX)?;
                for shard in model::shard_names(&folder).map_err(Error::Backbone)? {
                    hub.fetch(&shard)?;
                }
            }
            Err(error) => return Err(error),
        }
        std::fs::write(folder.join(COMPLETE), "").map_err(Error::file(&folder))?;
        Ok(folder)
    }
}

/// One revision of a repository.
struct Hub<'a> {
    agent: ureq::Agent,
    url: String,
    folder: &'a Path,
}

impl<'a> Hub<'a> {
    fn new(hub_url: &str, repo: &str, revision: &str, folder: &'a Path) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_connect(Some(PATIENCE)).timeout_recv_response(Some(PATIENCE)).build();
        let url = format!("{}/{repo}/resolve/{revision}", hub_url.trim_end_matches('/'));
        Self { agent: config.new_agent(), url, folder }
    }

    /// Fetches one file: whole or not at all.
    fn fetch(&self, name: &str) -> Result<(), Error> {
        let (url, path) = (format!("{}/{name}", self.url), self.folder.join(name));
        let failed = |source| Error::Hub { url: url.clone(), folder: self.folder.to_owned(), source: Box::new(source) };
        tracing::info!(url, "fetching a backbone");
        let mut answer = self.agent.get(&url).call().map_err(failed)?;
        let partial = self.folder.join(format!("{name}.partial"));
        let mut file = std::fs::File::create(&partial).map_err(Error::file(&partial))?;
        std::io::copy(&mut answer.body_mut().as_reader(), &mut file)
            .and_then(|_| file.flush())
            .map_err(|error| failed(error.into()))?;
        std::fs::rename(&partial, &path).map_err(Error::file(path))
    }
}
