//! A hub's backbones. Those that a job names are fetched once, whole or not at
//! all, then read without a network.

use std::path::{Path, PathBuf};

use crate::backbones::download::{Downloads, Received};
use crate::contract::input::Backbones;
use crate::contract::progress::Progress;
use crate::disk::{self, in_the_making, put_in_place};
use crate::error::Error;
use crate::material::seal::{self, Form};

/// A revision of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Revision<'a> {
    /// The address of the hub.
    pub(crate) hub_url: &'a str,
    pub(crate) repo: &'a str,
    /// A tag, branch or commit.
    pub(crate) name: &'a str,
}

/// The version of what is kept of a hub.
const FORMAT: u32 = 1;
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Weights that only PyTorch reads.
const PICKLE: &str = "pytorch_model.bin";
/// Files that a repository may lack: checkpoints of GPT-2 come without a
/// tokenizer, and the others are read by people.
const MAY_BE_MISSING: [&str; 2] = ["tokenizer.json", "README.md"];

/// The folder below the root where fetched backbones are kept.
pub(crate) const CACHE: &str = "hub";
/// The folder of a repository that has a folder for each revision.
const REVISIONS: &str = "revisions";

/// Where below a root the files of a repository's revision are kept.
pub(crate) fn place(root: &Path, repo: &str, revision: &str) -> PathBuf {
    let repo = root.join(CACHE).join(repo);
    repo.join(REVISIONS).join(revision)
}

/// What a job names a folder below the backbone root by, if it is one of a
/// hub's.
pub(crate) fn named(folder: &str) -> Option<String> {
    let below = folder.strip_prefix(CACHE)?.strip_prefix('/')?;
    let (repo, revision) = below.rsplit_once('/')?;
    let repo = repo.strip_suffix(REVISIONS)?.strip_suffix('/')?;
    Some(format!("hf://{repo}@{revision}"))
}

/// The folder with the files of a repository's revision; fetched where they are
/// not kept yet, or not what was fetched any more. Files that somebody put there
/// by hand have no seal and are taken as they are.
pub(crate) fn cached(
    from: &Backbones,
    repo: &str,
    revision: &str,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let folder = place(&from.root, repo, revision);
    let form = Form {
        format: FORMAT,
        of: &format!("{repo}@{revision}"),
    };
    if folder.exists() {
        if !seal::is_sealed(&folder) {
            return Ok(folder);
        }
        let Err(error) = seal::check(&folder, form) else {
            return Ok(folder);
        };
        let error = service::chain(&error);
        tracing::warn!(error, "fetching a backbone again: it is damaged");
        disk::remove_folder(&folder)?;
    }
    if let Some(revisions) = folder.parent() {
        disk::make_folder(revisions)?;
    }
    let making = in_the_making(&from.root)?;
    let revision = Revision {
        hub_url: &from.hub_url,
        repo,
        name: revision,
    };
    let listener = |_: Received| progress.check();
    let downloads = Downloads::new(&folder, &listener);
    revision.fetch(making.path(), &downloads)?;
    seal::write(making.path(), form)?;
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
        if !files.fetch_if_there(INDEX)? {
            let names = files.pickles()?;
            return Err(self.no_weights(&names));
        }
        for name in model::shard_names(into).map_err(Error::Backbone)? {
            files.fetch(&name)?;
        }
        Ok(())
    }

    /// The error for a revision without weights that are read here, which says
    /// what it has instead.
    fn no_weights(&self, names: &[String]) -> Error {
        let written = format!("hf://{}@{}", self.repo, self.name);
        Error::Backbone(model::no_weights(written.as_ref(), names))
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
        was_found(self.fetch(name))
    }

    /// The names of files with weights that are not read here.
    fn pickles(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        if was_found(self.downloads.ask(&self.url(PICKLE)))? {
            names.push(PICKLE.to_owned());
        }
        Ok(names)
    }

    fn fetch(&self, name: &str) -> Result<(), Error> {
        self.downloads.file(&self.url(name), &self.into.join(name))
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }
}

/// False where a server answered that it has no such file.
fn was_found(answer: Result<(), Error>) -> Result<bool, Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(Error::Hub { source, .. })
            if matches!(*source, ureq::Error::StatusCode(404)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revisions_place_has_the_name_that_a_job_writes() {
        let kept = place(Path::new(""), "own/tiny", "v1");
        let name = named(&kept.to_string_lossy());
        assert_eq!(name.as_deref(), Some("hf://own/tiny@v1"));
        for other in ["own/tiny", "hub/own/tiny", "hubs/revisions/v1"] {
            assert_eq!(named(other), None);
        }
    }
}
