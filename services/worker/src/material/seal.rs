//! The seal of a kept folder: the format it was written in and the hash of each
//! of its files. A folder that is of another format, cut short or altered does
//! not pass for whole.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::Error;

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    format: u32,
    /// SHA-256 of each file, by its name, in hexadecimal digits.
    sha256: BTreeMap<String, String>,
}

const SEAL: &str = "seal.json";

/// Seals a folder's files; they are not written to any more.
pub(super) fn write(
    folder: &Path,
    format: u32,
    names: &[&str],
) -> Result<(), Error> {
    let mut sha256 = BTreeMap::new();
    for name in names {
        let hash = disk::sha256(&folder.join(name))?;
        sha256.insert((*name).to_owned(), hash);
    }
    let seal = Seal { format, sha256 };
    let bytes = serde_json::to_vec(&seal).expect("plain data becomes JSON");
    disk::write(&folder.join(SEAL), &bytes)
}

/// An error unless the folder was sealed in this format and its files are what
/// they were then.
pub(super) fn check(
    folder: &Path,
    format: u32,
    names: &[&str],
) -> Result<(), Error> {
    let path = folder.join(SEAL);
    let bytes = disk::read(&path)?;
    let seal: Seal = serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged(&path, error))?;
    if seal.format != format {
        let reason =
            format!("it has format {} instead of {format}", seal.format);
        return Err(Error::damaged(folder, reason));
    }
    for name in names {
        let path = folder.join(name);
        let found = disk::sha256(&path)?;
        if seal.sha256.get(*name) != Some(&found) {
            return Err(Error::damaged(&path, "it has another hash"));
        }
    }
    Ok(())
}
