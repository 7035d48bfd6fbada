//! A hub's backbones. Those that a job names are fetched once, whole or not at
//! all, then read without a network.

use std::path::{Path, PathBuf};

use crate::backbones::download::{Downloads, Received};
use crate::contract::input::Backbones;
use crate::contract::progress::Progress;
use crate::disk::{self, in_the_making, put_in_place};
use crate::error::Error;

/// A revision of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Revision<'a> {
    /// The address of the hub.
    pub(crate) hub_url: &'a str,
    pub(crate) repo: &'a str,
    /// A tag, branch or commit.
    pub(crate) name: &'a str,
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files that a repository may lack: checkpoints of GPT-2 come without a
/// tokenizer, and the others are read by people.
const MAY_BE_MISSING: [&str; 2] = ["tokenizer.json", "README.md"];

/// The folder below the root where fetched backbones are kept.
pub(crate) const CACHE: &str = "hub";
/// The folder of a repository that has a folder for each revision.
pub(crate) const REVISIONS: &str = "revisions";

/// The folder with the files of a repository's revision; fetched where they are
/// not kept yet.
pub(crate) fn cached(
    from: &Backbones,
    repo: &str,
    revision: &str,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let revisions = from.root.join(CACHE).join(repo).join(REVISIONS);
    let folder = revisions.join(revision);
    if folder.exists() {
        return Ok(folder);
    }
    disk::make_folder(&revisions)?;
    let making = in_the_making(&from.root)?;
    let revision = Revision {
        hub_url: &from.hub_url,
        repo,
        name: revision,
    };
    let listener = |_: Received| progress.check();
    let downloads = Downloads::new(&folder, &listener);
    revision.fetch(making.path(), &downloads)?;
    put_in_place(making, &folder)?;
    Ok(folder)
}

impl Revision<'_> {
    /// Fetches the configuration, the tokenizer where there is one, and the
    /// weights, in one file or in shards, into a folder.
    pub(crate) fn fetch(
        &self,
        into: &Path,
        downloads: &Downloads<'_>,
    ) -> Result<(), Error> {
        let files = Files {
            url: self.url(),
            into,
            downloads,
        };
        files.fetch(CONFIG)?;
        for name in MAY_BE_MISSING {
            files.fetch_if_there(name)?;
        }
        if files.fetch_if_there(WEIGHTS)? {
            return Ok(());
        }
        files.fetch(INDEX)?;
        for name in model::shard_names(into).map_err(Error::Backbone)? {
            files.fetch(&name)?;
        }
        Ok(())
    }

    /// The address below which its files are.
    fn url(&self) -> String {
        let hub_url = self.hub_url.trim_end_matches('/');
        format!("{hub_url}/{}/resolve/{}", self.repo, self.name)
    }
}

/// The files of a revision, on their way to the disk.
struct Files<'a> {
    /// They are below this address.
    url: String,
    into: &'a Path,
    downloads: &'a Downloads<'a>,
}

impl Files<'_> {
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

    fn fetch(&self, name: &str) -> Result<(), Error> {
        let url = format!("{}/{name}", self.url);
        self.downloads.file(&url, &self.into.join(name))
    }
}
