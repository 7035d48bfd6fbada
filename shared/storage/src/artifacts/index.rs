//! The index of an artifact: the hashes of its files, and with them its id.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use domain::ArtifactId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Written last; its hash is the artifact's id, so its bytes may never change.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// SHA-256 of each file, by its name.
    pub(crate) files: BTreeMap<String, String>,
}

/// Name of the index among the files.
pub(crate) const INDEX: &str = "index.json";
/// Hex digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

impl Index {
    /// Hashes the files of a folder.
    pub(crate) fn of(folder: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::file(folder))? {
            let entry = entry.map_err(Error::file(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != INDEX {
                files.insert(name, file_hash(&entry.path())?);
            }
        }

        Ok(Self { files })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data becomes JSON")
    }

    pub(crate) fn id(&self) -> ArtifactId {
        let mut id = hex::encode(Sha256::digest(self.to_bytes()));
        id.truncate(ID_DIGITS);
        ArtifactId::new(id).expect("hex digits are a name")
    }
}

/// Computes the id that a folder of files has as an artifact.
pub fn content_id(folder: &Path) -> Result<ArtifactId, Error> {
    Index::of(folder).map(|index| index.id())
}

fn file_hash(path: &Path) -> Result<String, Error> {
    let mut file = std::fs::File::open(path).map_err(Error::file(path))?;
    let (mut hash, mut part) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut part).map_err(Error::file(path))?;
        if n == 0 {
            return Ok(hex::encode(hash.finalize()));
        }

        hash.update(&part[..n]);
    }
}
