//! A hub's backbones: fetched once, whole or not at all, then read without a
//! network.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::contract::input::Backbones;
use crate::contract::progress::Progress;
use crate::disk::{self, in_the_making, put_in_place};
use crate::error::Error;

/// Hubs' files are below this folder of the backbone root, in
/// `OWNER/NAME/revisions/REVISION`.
const FOLDER: &str = "hub";
const REVISIONS: &str = "revisions";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Checkpoints of GPT-2 may come without one.
const TOKENIZER: &str = "tokenizer.json";
/// A hub that says nothing for this long is out of reach.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest file that is fetched: GPT-2 XL in f32 has 6.4 GB.
const MAX_BYTES: u64 = 16 << 30;
/// Bytes between two looks at whether the job is to stop.
const CHUNK_BYTES: u64 = 1 << 20;

/// The folder with the files of a repository's revision; fetched where they are
/// not kept yet.
pub(super) fn cached(
    from: &Backbones,
    repo: &str,
    revision: &str,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let revisions = from.root.join(FOLDER).join(repo).join(REVISIONS);
    let folder = revisions.join(revision);
    if folder.exists() {
        return Ok(folder);
    }
    let parent = folder.parent().unwrap_or(&from.root);
    disk::make_folder(parent)?;
    let making = in_the_making(&from.root)?;
    let hub_url = from.hub_url.trim_end_matches('/');
    let hub = Hub {
        agent: agent(),
        url: format!("{hub_url}/{repo}/resolve/{revision}"),
        making: making.path(),
        folder: &folder,
        progress,
    };
    hub.fetch_backbone()?;
    put_in_place(making, &folder)?;
    Ok(folder)
}

/// What a job names a folder below the backbone root by, if it is one of a
/// hub's.
pub(super) fn named(folder: &str) -> Option<String> {
    let below = folder.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (repo, revision) = below.rsplit_once('/')?;
    let repo = repo.strip_suffix(REVISIONS)?.strip_suffix('/')?;
    Some(format!("hf://{repo}@{revision}"))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .new_agent()
}

/// One revision of a repository, on its way to the disk.
struct Hub<'a> {
    agent: ureq::Agent,
    /// The revision's files are below this address.
    url: String,
    /// The folder where they are written.
    making: &'a Path,
    /// The folder where they will be, for the error that says what to do by
    /// hand.
    folder: &'a Path,
    progress: &'a Progress,
}

impl Hub<'_> {
    /// Fetches the configuration, the tokenizer where there is one, and the
    /// weights, in one file or in shards.
    fn fetch_backbone(&self) -> Result<(), Error> {
        self.fetch(CONFIG)?;
        self.fetch_if_there(TOKENIZER)?;
        if self.fetch_if_there(WEIGHTS)? {
            return Ok(());
        }
        self.fetch_shards()
    }

    /// Fetches a file; false where the repository has none of this name.
    fn fetch_if_there(&self, name: &str) -> Result<bool, Error> {
        match self.fetch(name) {
            Ok(()) => Ok(true),
            Err(Error::Hub { source, .. })
                if matches!(*source, ureq::Error::StatusCode(404)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn fetch_shards(&self) -> Result<(), Error> {
        self.fetch(INDEX)?;
        let names = model::shard_names(self.making).map_err(Error::Backbone)?;
        for name in names {
            self.fetch(&name)?;
        }
        Ok(())
    }

    fn fetch(&self, name: &str) -> Result<(), Error> {
        let url = format!("{}/{name}", self.url);
        tracing::info!(url, "fetching a backbone");
        let mut answer = match self.agent.get(&url).call() {
            Ok(answer) => answer,
            Err(error) => return Err(self.failed(url, error)),
        };
        let path = self.making.join(name);
        let mut file = disk::create(&path)?;
        let mut body =
            answer.body_mut().with_config().limit(MAX_BYTES).reader();
        loop {
            self.progress.check()?;
            let mut chunk = body.by_ref().take(CHUNK_BYTES);
            match std::io::copy(&mut chunk, &mut file) {
                Ok(0) => return file.sync_all().map_err(Error::file(&path)),
                Ok(_) => {}
                Err(error) => return Err(self.failed(url, error.into())),
            }
        }
    }

    fn failed(&self, url: String, source: ureq::Error) -> Error {
        Error::Hub {
            url,
            folder: self.folder.to_owned(),
            source: Box::new(source),
        }
    }
}
