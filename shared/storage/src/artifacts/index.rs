//! The index of an artifact: the hashes of its files, and with them its id.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::Path;

use domain::ArtifactId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// What an artifact consists of. The hash of its bytes is the artifact's id, so
/// they may never change; files beside those that it names do not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    /// SHA-256 of each file, by its name.
    pub(super) files: BTreeMap<String, String>,
}

/// Name of the index among the files.
pub(super) const INDEX: &str = "index.json";
/// Hex digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

impl Index {
    /// Hashes the files of a folder that is to be stored.
    pub(super) fn of(folder: &Path) -> Result<Self, Error> {
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

    /// Reads the index of a stored artifact; `None` where there is none, an
    /// error where it is not the one that the id stands for.
    pub(super) fn read(
        folder: &Path,
        id: &ArtifactId,
    ) -> Result<Option<Self>, Error> {
        let path = folder.join(INDEX);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(Error::file(path)(error)),
        };

        let what = path.display().to_string();
        if id_of(&bytes) != *id {
            return Err(Error::corrupt(what, "its hash is not the id"));
        }

        let index: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::corrupt(&what, error))?;
        match index.files.keys().find(|name| !is_plain(name)) {
            Some(name) => {
                let reason = format!("`{name}` is no name of a file");
                Err(Error::corrupt(what, reason))
            }
            None => Ok(Some(index)),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data becomes JSON")
    }

    pub(super) fn id(&self) -> ArtifactId {
        id_of(&self.to_bytes())
    }
}

/// Computes the id that a folder of files has as an artifact.
pub fn content_id(folder: &Path) -> Result<ArtifactId, Error> {
    Index::of(folder).map(|index| index.id())
}

/// Computes the SHA-256 of a file, in hexadecimal digits.
pub(super) fn file_hash(path: &Path) -> Result<String, Error> {
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

/// True where there is nothing at a path, whatever stands in its way.
pub(super) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn id_of(index: &[u8]) -> ArtifactId {
    let mut id = hex::encode(Sha256::digest(index));
    id.truncate(ID_DIGITS);
    ArtifactId::new(id).expect("hex digits are a name")
}

/// True for a name that stays inside its folder.
fn is_plain(name: &str) -> bool {
    let path = Path::new(name);
    path.file_name()
        .is_some_and(|last| last == path.as_os_str())
        && name != INDEX
}
