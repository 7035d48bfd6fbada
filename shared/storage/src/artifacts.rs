//! Immutable folders named by the hash of their content. An artifact exists
//! once its index does, and the index is written last: a half-written one is
//! invisible.

/// The hashes of an artifact's files, and its id.
mod index;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ArtifactId;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};

use crate::artifacts::index::{INDEX, Index};
use crate::error::Error;
use crate::settings::Settings;

pub use index::content_id;

/// What an artifact is; each kind has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data set, checked and split.
    Dataset,
    /// A trained model without its backbone.
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

/// Files are uploaded in parts of this size.
const PART_BYTES: usize = 8 << 20;
const ARTIFACTS: &str = "the artifact store";

/// Stores and verifies artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
    /// Artifacts are read in place: their files are below this folder.
    root: PathBuf,
}

impl Artifacts {
    /// Opens the store that the settings name, making its folder where there is
    /// none.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let root = settings.artifact_root();
        let place = &settings.artifacts;
        if place.contains("://") && !place.starts_with("file://") {
            let reason =
                format!("`{place}` is neither a folder nor `file:///…`");
            return Err(Error::Setting {
                setting: "storage.artifacts",
                reason,
            });
        }

        std::fs::create_dir_all(&root).map_err(Error::file(&root))?;
        let root = root.canonicalize().map_err(Error::file(&root))?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(unavailable)?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            root,
        })
    }

    /// Stores the files of a folder; returns the artifact's id. Storing the
    /// same content again changes nothing.
    pub async fn put(
        &self,
        kind: Kind,
        folder: &Path,
    ) -> Result<ArtifactId, Error> {
        let source = folder.to_owned();
        let index = blocking(move || Index::of(&source)).await?;
        let id = index.id();
        if self.exists(kind, &id).await? {
            return Ok(id);
        }

        for name in index.files.keys() {
            let to = location(kind, &id, name);
            self.upload(&folder.join(name), &to).await?;
        }

        let last = location(kind, &id, INDEX);
        self.store
            .put(&last, index.to_bytes().into())
            .await
            .map_err(unavailable)?;
        Ok(id)
    }

    async fn upload(&self, file: &Path, to: &Location) -> Result<(), Error> {
        use tokio::io::AsyncReadExt;
        let mut source = tokio::fs::File::open(file)
            .await
            .map_err(Error::file(file))?;
        let upload = self.store.put_multipart(to).await.map_err(unavailable)?;
        let mut upload =
            WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut part = vec![0; PART_BYTES];
        loop {
            let n = source.read(&mut part).await.map_err(Error::file(file))?;
            if n == 0 {
                break;
            }

            upload.wait_for_capacity(2).await.map_err(unavailable)?;
            upload.write(&part[..n]);
        }

        upload.finish().await.map_err(unavailable)?;
        Ok(())
    }

    /// True when the artifact is complete.
    pub async fn exists(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<bool, Error> {
        match self.store.head(&location(kind, id, INDEX)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Refuses an artifact that is not there, or not complete.
    pub async fn require(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        if self.exists(kind, id).await? {
            return Ok(());
        }

        Err(Error::NotFound {
            kind: kind.name(),
            name: id.to_string(),
        })
    }

    /// Finds the folder with an artifact's files, after checking every byte
    /// against its id.
    pub async fn open_verified(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<PathBuf, Error> {
        let folder = self.folder(kind, id).await?;
        let checked = folder.clone();
        let found = blocking(move || content_id(&checked)).await?;
        if found != *id {
            let what = format!("{} {id}", kind.name());
            let reason = format!(
                "its content hashes to {found}; restore it or delete it"
            );
            return Err(Error::corrupt(what, reason));
        }

        Ok(folder)
    }

    /// Finds the folder with an artifact's files, unchecked.
    pub async fn folder(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<PathBuf, Error> {
        self.require(kind, id).await?;
        Ok(self.root.join(kind.folder()).join(id.as_str()))
    }

    /// Reads one file of an artifact, unchecked.
    pub async fn read(
        &self,
        kind: Kind,
        id: &ArtifactId,
        name: &str,
    ) -> Result<Vec<u8>, Error> {
        let path = self.folder(kind, id).await?.join(name);
        tokio::fs::read(&path).await.map_err(Error::file(path))
    }

    /// Lists the ids of all complete artifacts of a kind, ascending.
    pub async fn list(&self, kind: Kind) -> Result<Vec<ArtifactId>, Error> {
        let below = Location::from(kind.folder());
        let found = self
            .store
            .list_with_delimiter(Some(&below))
            .await
            .map_err(unavailable)?;
        let mut ids = Vec::new();
        for folder in found.common_prefixes {
            // A folder with another name is not the store's.
            let Some(Ok(id)) = folder.filename().map(ArtifactId::new) else {
                continue;
            };

            if self.exists(kind, &id).await? {
                ids.push(id);
            }
        }

        ids.sort_unstable();
        Ok(ids)
    }

    /// Adds up the sizes of an artifact's files, in bytes.
    pub async fn n_bytes(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<u64, Error> {
        let files = self.files(kind, id).await?;
        Ok(files.iter().map(|file| file.size).sum())
    }

    async fn files(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<Vec<ObjectMeta>, Error> {
        let below = Location::from_iter([kind.folder(), id.as_str()]);
        self.store
            .list(Some(&below))
            .try_collect()
            .await
            .map_err(unavailable)
    }

    /// Removes an artifact; its index first, so that nobody sees a part of it.
    pub async fn delete(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        self.require(kind, id).await?;
        self.remove(&location(kind, id, INDEX)).await?;
        for file in self.files(kind, id).await? {
            self.remove(&file.location).await?;
        }

        Ok(())
    }

    async fn remove(&self, file: &Location) -> Result<(), Error> {
        self.store.delete(file).await.map_err(unavailable)
    }
}

fn location(kind: Kind, id: &ArtifactId, name: &str) -> Location {
    Location::from_iter([kind.folder(), id.as_str(), name])
}

fn unavailable(error: object_store::Error) -> Error {
    Error::unavailable(ARTIFACTS)(error)
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
        let artifacts =
            Artifacts::open(&crate::settings::embedded(folder.path())).unwrap();
        let source = tempfile::tempdir().unwrap();
        std::fs::write(source.path().join("a"), "one").unwrap();
        std::fs::write(source.path().join("b"), vec![7; PART_BYTES + 1])
            .unwrap();
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
        let listed = artifacts.list(Kind::Model).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&id));
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
