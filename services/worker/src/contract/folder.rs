//! Folders that appear whole or not at all, and folders that belong to one attempt.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::Error;

/// A folder in the making below `parent`; it is removed unless it is put in its place.
pub(crate) fn in_the_making(parent: &Path) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix("partial-")
        .tempdir_in(parent)
        .map_err(Error::file(parent))
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

/// A new folder of an attempt. An error where its parent is gone: the attempt was given up.
pub(crate) fn new_folder(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = parent.join(name);
    std::fs::create_dir(&folder).map_err(Error::file(&folder))?;
    Ok(folder)
}
