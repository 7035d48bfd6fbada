//! Immutable folders named by the hash of their content. An artifact becomes
//! visible as a whole, after every byte was verified, and consists of the files
//! that its index names: nothing beside them counts.

/// What an artifact can be.
mod kind;

/// The hashes of an artifact's files, and its id.
mod index;

/// Artifacts as folders of a file system.
mod folder;

/// What this process has verified already.
mod verified;

/// When an artifact was last wanted, and removing what nobody wants.
mod age;

/// What is known of an artifact beside its files.
mod notes;

/// Which stores' records name these artifacts.
mod claims;

/// What every place for artifacts must keep to.
#[cfg(test)]
mod contract;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ArtifactId;

use crate::artifacts::folder::Folder;
use crate::artifacts::index::{INDEX, Index};
use crate::artifacts::verified::{Verified, stamps};
use crate::error::Error;
use crate::settings::Settings;

pub use folder::is_idle;
pub use index::content_id;
pub use kind::Kind;

const ARTIFACTS: &str = "the artifact store";
/// Who uploads where nobody has said more.
const SOMEBODY: &str = "somebody";

/// Stores and verifies artifacts. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Folder,
    verified: Verified,
    owner: Arc<str>,
}

impl Artifacts {
    /// Opens the store that the settings name, making its folder where there is
    /// none.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let place = &settings.artifacts;
        if place.contains("://") && !place.starts_with("file://") {
            let reason =
                format!("`{place}` is neither a folder nor `file:///…`");
            return Err(Error::Setting {
                setting: "storage.artifacts",
                reason,
            });
        }

        Ok(Self {
            folder: Folder::open(&settings.artifact_root())?,
            verified: Verified::default(),
            owner: SOMEBODY.into(),
        })
    }

    /// The same store; what is uploaded through it is an attempt's, until it is
    /// whole.
    #[must_use]
    pub fn staged_by(&self, job: &str, epoch: u64) -> Self {
        // The name of a folder.
        let job = job.replace('/', "-");
        Self {
            owner: format!("{job}.{epoch}").into(),
            ..self.clone()
        }
    }

    /// Stores the files of a folder; returns the artifact's id. What is there
    /// already is verified: storing the same content again changes nothing, or
    /// makes a damaged artifact whole.
    pub async fn put(
        &self,
        kind: Kind,
        folder: &Path,
    ) -> Result<ArtifactId, Error> {
        let source = folder.to_owned();
        self.blocking(move |own| own.put_now(kind, &source)).await
    }

    fn put_now(&self, kind: Kind, source: &Path) -> Result<ArtifactId, Error> {
        let index = Index::of(source)?;
        let id = index.id();
        // What somebody wants again is nobody's garbage.
        self.folder.touch(kind, &id);
        let is_there = match self.verify_now(kind, &id) {
            Ok(_) => true,
            Err(Error::NotFound { .. }) => false,
            Err(damage @ Error::Corrupt { .. }) => {
                tracing::warn!(%damage, "replacing a damaged artifact");
                false
            }
            Err(error) => return Err(error),
        };
        if !is_there {
            let staged =
                self.folder.stage(&self.owner, source, index.clone())?;
            self.folder.publish(&staged, kind)?;
        }

        self.folder.mark_put(kind, &id, &index);
        let stamps = stamps(&self.folder.place(kind, &id), &index)?;
        self.verified.note(kind, &id, stamps);
        Ok(id)
    }

    /// Forgets what was verified: the next look at an artifact reads every byte.
    pub fn doubt(&self) {
        self.verified.forget_all();
    }

    /// Checks that an artifact is there and whole. Its bytes are read once a
    /// process, and again when a file looks different from outside.
    pub async fn verify(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        let id = id.clone();
        self.blocking(move |own| own.verify_now(kind, &id)).await?;
        Ok(())
    }

    fn verify_now(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<PathBuf, Error> {
        let (folder, index) = self.present(kind, id)?;
        let stamps = stamps(&folder, &index)?;
        if self.verified.knows(kind, id, &stamps) {
            return Ok(folder);
        }

        self.verified.forget(kind, id);
        let checked = self.folder.check(&folder, &index);
        checked.map_err(|error| kind.damaged(id, error))?;
        self.verified.note(kind, id, stamps);
        Ok(folder)
    }

    /// The folder and the index of an artifact of which no file is missing.
    fn present(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(PathBuf, Index), Error> {
        let index = self.folder.index(kind, id)?;
        let folder = self.folder.place(kind, id);
        for name in index.files.keys() {
            if !folder.join(name).is_file() {
                let missing = Error::corrupt(name, "it is missing");
                return Err(kind.damaged(id, missing));
            }
        }

        Ok((folder, index))
    }

    /// Refuses an artifact that is not there, or of which a file is missing.
    pub async fn require(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        self.folder(kind, id).await?;
        Ok(())
    }

    /// Finds the folder with an artifact's files, after checking every byte
    /// against its id, whatever was checked before.
    pub async fn open_verified(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<PathBuf, Error> {
        let id = id.clone();
        self.verified.forget(kind, &id);
        self.blocking(move |own| own.verify_now(kind, &id)).await
    }

    /// Finds the folder with an artifact's files, their bytes unchecked.
    pub async fn folder(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<PathBuf, Error> {
        let id = id.clone();
        self.blocking(move |own| Ok(own.present(kind, &id)?.0))
            .await
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

    /// Lists the ids of all artifacts of a kind, ascending; damaged ones too.
    pub async fn list(&self, kind: Kind) -> Result<Vec<ArtifactId>, Error> {
        self.blocking(move |own| own.folder.list(kind)).await
    }

    /// Adds up the sizes of an artifact's files, in bytes.
    pub async fn n_bytes(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<u64, Error> {
        let id = id.clone();
        self.blocking(move |own| own.n_bytes_now(kind, &id)).await
    }

    fn n_bytes_now(&self, kind: Kind, id: &ArtifactId) -> Result<u64, Error> {
        let (folder, index) = self.present(kind, id)?;
        let mut sum = index.to_bytes().len() as u64;
        for name in index.files.keys() {
            let path = folder.join(name);
            let found = path.metadata().map_err(Error::file(path))?;
            sum += found.len();
        }

        Ok(sum)
    }

    /// Removes an artifact, also a damaged one; nobody sees a part of it.
    pub async fn delete(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        let id = id.clone();
        self.blocking(move |own| own.delete_now(kind, &id)).await
    }

    fn delete_now(&self, kind: Kind, id: &ArtifactId) -> Result<(), Error> {
        self.verified.forget(kind, id);
        match self.folder.index(kind, id) {
            Err(Error::NotFound { .. })
                if !self.folder.place(kind, id).exists() =>
            {
                Err(Error::NotFound {
                    kind: kind.name(),
                    name: id.to_string(),
                })
            }
            Ok(_) | Err(_) => self.folder.delete(kind, id),
        }
    }

    /// Removes what the attempts at a job that has ended left half-uploaded.
    pub async fn sweep_job(&self, job: &str) -> Result<usize, Error> {
        let job = job.to_owned();
        self.blocking(move |own| own.folder.sweep_of(&job)).await
    }

    /// Removes half-made things that nobody has written to for so long; returns
    /// how many there were. An upload that is swept cannot be published.
    pub async fn sweep(&self, idle: Duration) -> Result<usize, Error> {
        self.blocking(move |own| own.folder.sweep(idle)).await
    }

    /// Tells when an artifact was stored, as an age; `None` where that cannot
    /// be known.
    pub async fn age(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<Option<Duration>, Error> {
        let path = self.folder(kind, id).await?.join(INDEX);
        let found = tokio::fs::metadata(&path).await;
        let modified = found.and_then(|found| found.modified());
        let modified = modified.map_err(Error::file(path))?;
        Ok(modified.elapsed().ok())
    }

    /// Runs what waits for the disk off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || work(&own))
            .await
            .map_err(Error::unavailable(ARTIFACTS))?
    }
}
