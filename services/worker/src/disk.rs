//! The worker's own files and folders. Errors name the path.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::error::Error;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::file(path))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(Error::file(path))
}

pub(crate) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::file(path))
}

pub(crate) fn create(path: &Path) -> Result<File, Error> {
    File::create(path).map_err(Error::file(path))
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(Error::file(path))?;
    Ok(format!("{:x}", hash.finalize()))
}

/// What a folder holds, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        paths.push(entry.map_err(Error::file(folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file(path))
}

/// Removes a folder, if it is there; also a file in its place.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    let removed = match path.is_file() {
        true => fs::remove_file(path),
        false => fs::remove_dir_all(path),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::file(path)),
    }
}

/// Makes a new folder of an attempt. An error where its parent is gone: the
/// attempt was given up.
pub(crate) fn new_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir(path).map_err(Error::file(path))
}

/// A folder that is removed when nobody holds it any more.
pub(crate) fn scratch_folder(parent: &Path) -> Result<TempDir, Error> {
    tempfile::tempdir_in(parent).map_err(Error::file(parent))
}

/// What the names of folders in the making begin with.
const PARTIAL: &str = "partial-";

/// A folder that is removed, too, unless it is put in its place.
pub(crate) fn in_the_making(parent: &Path) -> Result<TempDir, Error> {
    let mut unfinished = tempfile::Builder::new();
    let making = unfinished.prefix(PARTIAL).tempdir_in(parent);
    making.map_err(Error::file(parent))
}

/// True for a folder that some worker has not put in its place yet.
pub(crate) fn is_in_the_making(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(PARTIAL)
}

/// Gives a folder in the making its place. Workers that share the place may do
/// so at the same time: the first to finish wins, the files are the same.
pub(crate) fn put_in_place(making: TempDir, place: &Path) -> Result<(), Error> {
    let made = making.keep();
    match fs::rename(&made, place) {
        Err(_) if place.exists() => remove_folder(&made),
        other => other.map_err(Error::file(place)),
    }
}
