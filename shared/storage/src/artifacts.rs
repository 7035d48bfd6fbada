//! Immutable folders named by the hash of their content. An artifact exists once its index does,
//! and the index is written last: a half-written one is invisible.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::encode;
use crate::{Error, Settings};

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data set.
    Dataset,
    /// A trained model.
    Model,
    /// A frozen language model.
    Backbone,
    /// A job's state between two attempts.
    Checkpoint,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Dataset => "datasets",
            Self::Model => "models",
            Self::Backbone => "backbones",
            Self::Checkpoint => "checkpoints",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dataset => "data set",
            Self::Model => "model",
            Self::Backbone => "backbone",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Written last; its hash is the artifact's id.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Index {
    /// SHA-256 of each file, by its name.
    files: BTreeMap<String, String>,
}

const INDEX: &str = "index.json";
/// Files are uploaded in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// Hex digits of an id: 128 bits.
const ID_DIGITS: usize = 32;

impl Index {
    fn of(folder: &Path) -> Result<Self, Error> {
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

    fn id(&self) -> String {
        let mut id = hex::encode(Sha256::digest(encode(self)));
        id.truncate(ID_DIGITS);
        id
    }
}

/// The id that a folder of files has as an artifact.
pub fn content_id(folder: &Path) -> Result<String, Error> {
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

/// The artifact store.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// Artifacts are read in place: their files are below this folder.
    root: PathBuf,
}

impl Artifacts {
    /// Opens the store that the settings name, making its folder where there is none.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let root = settings.artifact_root();
        if settings.artifacts.contains("://") && !settings.artifacts.starts_with("file://") {
            let reason = format!(
                "`{}` is neither a folder nor `file:///…`",
                settings.artifacts
            );
            return Err(Error::Setting {
                setting: "storage.artifacts",
                reason,
            });
        }
        std::fs::create_dir_all(&root).map_err(Error::file(&root))?;
        let root = root.canonicalize().map_err(Error::file(&root))?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(Error::unavailable(ARTIFACTS))?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            root,
        })
    }

    /// Stores the files of a folder; returns the artifact's id. Storing the same content again
    /// changes nothing.
    pub async fn put(&self, kind: Kind, folder: &Path) -> Result<String, Error> {
        let source = folder.to_owned();
        let index = blocking(move || Index::of(&source)).await?;
        let id = index.id();
        if self.exists(kind, &id).await? {
            return Ok(id);
        }
        for name in index.files.keys() {
            self.upload(&folder.join(name), &location(kind, &id, name))
                .await?;
        }
        let last = location(kind, &id, INDEX);
        self.store
            .put(&last, encode(&index).into())
            .await
            .map_err(Error::unavailable(ARTIFACTS))?;
        Ok(id)
    }

    async fn upload(&self, file: &Path, to: &Location) -> Result<(), Error> {
        use tokio::io::AsyncReadExt;
        let mut source = tokio::fs::File::open(file)
            .await
            .map_err(Error::file(file))?;
        let upload = self
            .store
            .put_multipart(to)
            .await
            .map_err(Error::unavailable(ARTIFACTS))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut part = vec![0; PART_BYTES];
        loop {
            let n = source.read(&mut part).await.map_err(Error::file(file))?;
            if n == 0 {
                break;
            }
            upload
                .wait_for_capacity(2)
                .await
                .map_err(Error::unavailable(ARTIFACTS))?;
            upload.write(&part[..n]);
        }
        upload
            .finish()
            .await
            .map(|_| ())
            .map_err(Error::unavailable(ARTIFACTS))
    }

    /// True when the artifact is complete.
    pub async fn exists(&self, kind: Kind, id: &str) -> Result<bool, Error> {
        match self.store.head(&location(kind, id, INDEX)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::unavailable(ARTIFACTS)(error)),
        }
    }

    /// The folder with an artifact's files, after checking every byte against its id.
    pub async fn open_verified(&self, kind: Kind, id: &str) -> Result<PathBuf, Error> {
        let folder = self.folder(kind, id).await?;
        let checked = folder.clone();
        let found = blocking(move || content_id(&checked)).await?;
        if found != id {
            let what = format!("{} {id}", kind.name());
            return Err(Error::corrupt(
                what,
                format!("its content hashes to {found}; restore it or delete it"),
            ));
        }
        Ok(folder)
    }

    /// The folder with an artifact's files, unchecked.
    pub async fn folder(&self, kind: Kind, id: &str) -> Result<PathBuf, Error> {
        if !self.exists(kind, id).await? {
            return Err(Error::NotFound {
                kind: kind.name(),
                name: id.to_owned(),
            });
        }
        Ok(self.root.join(kind.folder()).join(id))
    }

    /// One file of an artifact.
    pub async fn read(&self, kind: Kind, id: &str, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.folder(kind, id).await?.join(name);
        tokio::fs::read(&path).await.map_err(Error::file(path))
    }

    /// The ids of all complete artifacts of a kind, ascending.
    pub async fn list(&self, kind: Kind) -> Result<Vec<String>, Error> {
        let below = Location::from(kind.folder());
        let found = self
            .store
            .list_with_delimiter(Some(&below))
            .await
            .map_err(Error::unavailable(ARTIFACTS))?;
        let mut ids = Vec::new();
        for folder in found.common_prefixes {
            if let Some(id) = folder.filename()
                && self.exists(kind, id).await?
            {
                ids.push(id.to_owned());
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Size of an artifact's files.
    pub async fn n_bytes(&self, kind: Kind, id: &str) -> Result<u64, Error> {
        Ok(self
            .files(kind, id)
            .await?
            .iter()
            .map(|file| file.size)
            .sum())
    }

    async fn files(&self, kind: Kind, id: &str) -> Result<Vec<ObjectMeta>, Error> {
        let below = Location::from_iter([kind.folder(), id]);
        self.store
            .list(Some(&below))
            .try_collect()
            .await
            .map_err(Error::unavailable(ARTIFACTS))
    }

    /// Removes an artifact; its index first, so that nobody sees a part of it.
    pub async fn delete(&self, kind: Kind, id: &str) -> Result<(), Error> {
        self.folder(kind, id).await?;
        let unavailable = || Error::unavailable::<object_store::Error>(ARTIFACTS);
        self.store
            .delete(&location(kind, id, INDEX))
            .await
            .map_err(unavailable())?;
        for file in self.files(kind, id).await? {
            self.store
                .delete(&file.location)
                .await
                .map_err(unavailable())?;
        }
        Ok(())
    }
}

const ARTIFACTS: &str = "the artifact store";

fn location(kind: Kind, id: &str, name: &str) -> Location {
    Location::from_iter([kind.folder(), id, name])
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::unavailable(ARTIFACTS))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_artifact_is_named_by_its_content_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&crate::settings::embedded(folder.path())).unwrap();
        let source = tempfile::tempdir().unwrap();
        std::fs::write(source.path().join("a"), "one").unwrap();
        std::fs::write(source.path().join("b"), vec![7; PART_BYTES + 1]).unwrap();
        let id = artifacts.put(Kind::Model, source.path()).await.unwrap();
        assert_eq!(id, content_id(source.path()).unwrap());
        assert_eq!(
            artifacts.put(Kind::Model, source.path()).await.unwrap(),
            id,
            "the same content, the same artifact"
        );
        let stored = artifacts.open_verified(Kind::Model, &id).await.unwrap();
        assert_eq!(
            std::fs::read(stored.join("b")).unwrap().len(),
            PART_BYTES + 1
        );
        assert_eq!(artifacts.list(Kind::Model).await.unwrap(), [id.as_str()]);
        assert!(matches!(
            artifacts.folder(Kind::Dataset, &id).await,
            Err(Error::NotFound { .. })
        ));

        std::fs::write(stored.join("a"), "two").unwrap();
        assert!(matches!(
            artifacts.open_verified(Kind::Model, &id).await,
            Err(Error::Corrupt { .. })
        ));
        artifacts.delete(Kind::Model, &id).await.unwrap();
        assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
    }
}
