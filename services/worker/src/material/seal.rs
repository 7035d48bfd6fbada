//! The seal of a kept folder: the format that it was written in, what it is of,
//! and the hash of each of its files. A folder that is of another format or of
//! something else, cut short or altered does not pass for whole.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::Error;

/// What a folder must be to pass for whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    /// The version of the files' layout.
    pub(crate) format: u32,
    /// What the files were made from.
    pub(crate) of: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    format: u32,
    #[serde(default)]
    of: String,
    /// SHA-256 of each file, by its name, in hexadecimal digits.
    sha256: BTreeMap<String, String>,
}

const SEAL: &str = "seal.json";

/// Seals all files of a folder; they are not written to any more.
pub(crate) fn write(folder: &Path, form: Form<'_>) -> Result<(), Error> {
    let mut sha256 = BTreeMap::new();
    for path in disk::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name != SEAL {
            sha256.insert(name.into_owned(), disk::sha256(&path)?);
        }
    }
    let seal = Seal {
        format: form.format,
        of: form.of.to_owned(),
        sha256,
    };
    let bytes = serde_json::to_vec(&seal).expect("plain data becomes JSON");
    disk::write(&folder.join(SEAL), &bytes)
}

/// True for a folder that somebody has sealed.
pub(crate) fn is_sealed(folder: &Path) -> bool {
    folder.join(SEAL).exists()
}

/// An error unless the folder was sealed in this form and its files are what
/// they were then.
pub(crate) fn check(folder: &Path, form: Form<'_>) -> Result<(), Error> {
    let path = folder.join(SEAL);
    let bytes = disk::read(&path)?;
    let seal: Seal = serde_json::from_slice(&bytes)
        .map_err(|error| Error::damaged(&path, error))?;
    let Form { format, of } = form;
    if seal.format != format {
        let reason =
            format!("it has format {} instead of {format}", seal.format);
        return Err(Error::damaged(folder, reason));
    }
    if seal.of != of {
        let reason = format!("it is of `{}` instead of `{of}`", seal.of);
        return Err(Error::damaged(folder, reason));
    }
    for (name, wanted) in &seal.sha256 {
        let path = folder.join(name);
        if disk::sha256(&path)? != *wanted {
            return Err(Error::damaged(&path, "it has another hash"));
        }
    }
    Ok(())
}
