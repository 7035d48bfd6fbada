//! How long ago somebody stored an artifact or asked for it, and removing those
//! that nobody has wanted since.
//!
//! The time is that of the index's last change. Whoever is going to need an
//! artifact touches it first and then looks whether it is there; whoever
//! removes it moves it away first and then looks at the time. One of the two
//! always sees the other. What is away says what it is, so that the next sweep
//! puts it back where the remover was killed in between.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::ArtifactId;

use crate::artifacts::Artifacts;
use crate::artifacts::folder::{Folder, name_of};
use crate::artifacts::index::{INDEX, Index, is_absent};
use crate::artifacts::kind::Kind;
use crate::error::Error;

/// The owner of an artifact that is about to be removed.
const RETIRED: &str = "retired";

impl Artifacts {
    /// Makes an artifact as young as one that is stored now: somebody is going
    /// to need it, and no record says so yet. One that is not there is looked
    /// for by whoever asks next.
    pub async fn touch(&self, kind: Kind, id: &ArtifactId) {
        let id = id.clone();
        let touched = self.blocking(move |own| {
            own.folder.touch(kind, &id);
            Ok(())
        });
        if let Err(error) = touched.await {
            tracing::warn!(%error, "an artifact keeps its age");
        }
    }

    /// Tells when an artifact was stored or touched, whole or damaged, in
    /// milliseconds since 1970-01-01 UTC; `None` for one that is gone.
    pub async fn stored_ms(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<Option<i64>, Error> {
        let id = id.clone();
        self.blocking(move |own| stored_ms(&own.folder.place(kind, &id)))
            .await
    }

    /// Tells when an artifact was put last, whether it was there already or
    /// not, in milliseconds since 1970-01-01 UTC; that somebody needed it since
    /// does not count. `None` for one that is gone.
    pub async fn put_ms(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<Option<i64>, Error> {
        let id = id.clone();
        self.blocking(move |own| {
            let index = match own.folder.index(kind, &id) {
                Ok(index) => index,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match index.files.keys().next() {
                Some(first) => {
                    modified_ms(&own.folder.place(kind, &id).join(first))
                }
                None => Ok(None),
            }
        })
        .await
    }

    /// Removes an artifact that was stored before a time (in milliseconds since
    /// 1970-01-01 UTC) and not touched since; false where it stays, or is gone.
    pub async fn delete_older(
        &self,
        kind: Kind,
        id: &ArtifactId,
        than_ms: i64,
    ) -> Result<bool, Error> {
        let id = id.clone();
        self.blocking(move |own| {
            let deleted = own.folder.delete_older(kind, &id, than_ms)?;
            if deleted {
                own.verified.forget(kind, &id);
            }

            Ok(deleted)
        })
        .await
    }
}

impl Folder {
    /// Sets an artifact's time to now, if it is there.
    pub(super) fn touch(&self, kind: Kind, id: &ArtifactId) {
        let index = self.place(kind, id).join(INDEX);
        match set_to_now(&index) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It can be read all the same.
            Err(error) => {
                tracing::warn!(%id, %error, "an artifact keeps its age");
            }
        }
    }

    /// Notes that an artifact was put now: its first file has the time.
    pub(super) fn mark_put(&self, kind: Kind, id: &ArtifactId, index: &Index) {
        let Some(first) = index.files.keys().next() else {
            return;
        };
        if let Err(error) = set_to_now(&self.place(kind, id).join(first)) {
            tracing::warn!(%id, %error, "an artifact keeps the time that it was put at");
        }
    }

    fn delete_older(
        &self,
        kind: Kind,
        id: &ArtifactId,
        than_ms: i64,
    ) -> Result<bool, Error> {
        let place = self.place(kind, id);
        let is_old = |at: Option<i64>| at.is_some_and(|at| at < than_ms);
        if !is_old(stored_ms(&place)?) {
            return Ok(false);
        }

        let owner = format!("{RETIRED}-{}-{id}", kind.folder());
        let Some(aside) = self.set_aside(&place, &owner)? else {
            return Ok(false);
        };
        if is_old(stored_ms(&aside)?) && self.discard(&aside)? {
            return Ok(true);
        }

        // Somebody touched it in between, or has put it back.
        self.put_back(&aside, &place)?;
        Ok(false)
    }

    /// Makes an artifact that was moved away visible again, unless somebody has
    /// stored it anew.
    fn put_back(&self, aside: &Path, place: &Path) -> Result<(), Error> {
        match fs::rename(aside, place) {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(_) if place.join(INDEX).is_file() => {
                self.discard(aside)?;
                Ok(())
            }
            Err(error) => Err(Error::file(aside)(error)),
        }
    }

    /// Puts back what somebody was about to remove who was killed in between;
    /// false for a staging place that is none of that.
    pub(super) fn put_retired_back(&self, path: &Path) -> Result<bool, Error> {
        let name = name_of(path);
        let Some((kind, id)) = retired(&name) else {
            return Ok(false);
        };
        self.put_back(path, &self.place(kind, &id))?;
        Ok(true)
    }
}

/// What a folder of [`Folder::delete_older`] is.
fn retired(name: &str) -> Option<(Kind, ArtifactId)> {
    let (owner, _) = name.rsplit_once('.')?;
    let named = owner.strip_prefix(RETIRED)?.strip_prefix('-')?;
    let (folder, id) = named.split_once('-')?;
    let kind = Kind::in_folder(folder)?;
    Some((kind, ArtifactId::new(id).ok()?))
}

fn set_to_now(index: &Path) -> io::Result<()> {
    let file = File::options().append(true).open(index)?;
    file.set_modified(SystemTime::now())
}

fn stored_ms(folder: &Path) -> Result<Option<i64>, Error> {
    modified_ms(&folder.join(INDEX))
}

/// When a file was written to, in milliseconds since 1970-01-01 UTC; `None`
/// where there is none.
fn modified_ms(path: &Path) -> Result<Option<i64>, Error> {
    let found = fs::metadata(path).and_then(|found| found.modified());
    let modified = match found {
        Ok(modified) => modified,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(Error::file(path)(error)),
    };
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now_ms;
    use std::time::Duration;

    const HOUR_MS: i64 = 3_600_000;

    async fn stored(folder: &Path) -> (Artifacts, ArtifactId) {
        let settings = crate::settings::embedded(folder);
        let artifacts = Artifacts::open(&settings).unwrap();
        let source = folder.join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("f"), "x").unwrap();
        let id = artifacts.put(Kind::Dataset, &source).await.unwrap();
        (artifacts, id)
    }

    /// Makes an artifact an hour older.
    fn age(artifacts: &Artifacts, id: &ArtifactId) {
        let index = artifacts.folder.place(Kind::Dataset, id).join(INDEX);
        let file = File::options().append(true).open(index).unwrap();
        let hour = Duration::from_secs(3_600);
        file.set_modified(SystemTime::now() - hour).unwrap();
    }

    #[tokio::test]
    async fn only_putting_it_again_makes_it_the_latest_one() {
        let folder = tempfile::tempdir().unwrap();
        let (artifacts, id) = stored(folder.path()).await;
        let kind = Kind::Dataset;
        let file = artifacts.folder.place(kind, &id).join("f");
        let earlier = SystemTime::now() - Duration::from_secs(3_600);
        let opened = File::options().append(true).open(&file).unwrap();
        opened.set_modified(earlier).unwrap();
        let then = now_ms() - HOUR_MS / 2;

        artifacts.touch(kind, &id).await;
        let put_ms = artifacts.put_ms(kind, &id).await.unwrap();
        assert!(put_ms.unwrap() < then, "a job that needs it");

        let source = folder.path().join("source");
        artifacts.put(kind, &source).await.unwrap();
        let put_ms = artifacts.put_ms(kind, &id).await.unwrap();
        assert!(put_ms.unwrap() > then);

        artifacts.delete(kind, &id).await.unwrap();
        assert_eq!(artifacts.put_ms(kind, &id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_touched_or_stored_again_stays_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (artifacts, id) = stored(folder.path()).await;
        let then = now_ms() - HOUR_MS / 2;
        let kind = Kind::Dataset;
        assert!(!artifacts.delete_older(kind, &id, then).await.unwrap());

        age(&artifacts, &id);
        artifacts.touch(kind, &id).await;
        assert!(!artifacts.delete_older(kind, &id, then).await.unwrap());

        age(&artifacts, &id);
        let source = folder.path().join("source");
        artifacts.put(kind, &source).await.unwrap();
        assert!(!artifacts.delete_older(kind, &id, then).await.unwrap());
        artifacts.verify(kind, &id).await.unwrap();

        age(&artifacts, &id);
        assert!(artifacts.delete_older(kind, &id, then).await.unwrap());
        let gone = artifacts.verify(kind, &id).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        assert_eq!(artifacts.stored_ms(kind, &id).await.unwrap(), None);
        assert!(!artifacts.delete_older(kind, &id, then).await.unwrap());
        assert_eq!(artifacts.put(kind, &source).await.unwrap(), id);
    }

    #[tokio::test]
    async fn what_was_moved_away_by_someone_who_was_killed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (artifacts, id) = stored(folder.path()).await;
        let kind = Kind::Dataset;
        let place = artifacts.folder.place(kind, &id);
        let owner = format!("{RETIRED}-{}-{id}", kind.folder());
        let aside = artifacts.folder.set_aside(&place, &owner).unwrap();
        assert!(artifacts.verify(kind, &id).await.is_err());
        artifacts.sweep(Duration::from_secs(3_600)).await.unwrap();
        artifacts.verify(kind, &id).await.unwrap();
        assert!(!aside.unwrap().exists());

        // One that was stored anew meanwhile is in nobody's way.
        let aside = artifacts.folder.set_aside(&place, &owner).unwrap();
        let source = folder.path().join("source");
        artifacts.put(kind, &source).await.unwrap();
        artifacts.sweep(Duration::from_secs(3_600)).await.unwrap();
        artifacts.verify(kind, &id).await.unwrap();
        assert!(!aside.unwrap().exists());
    }

    #[tokio::test]
    async fn whoever_touches_it_before_it_is_removed_has_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (artifacts, id) = stored(folder.path()).await;
        let then = now_ms() - HOUR_MS / 2;
        let source = folder.path().join("source");
        for _ in 0..200 {
            age(&artifacts, &id);
            let wanted = async {
                artifacts.touch(Kind::Dataset, &id).await;
                artifacts.require(Kind::Dataset, &id).await.is_ok()
            };
            let removed = artifacts.delete_older(Kind::Dataset, &id, then);
            let (found, removed) = tokio::join!(wanted, removed);
            let removed = removed.unwrap();
            let is_there = artifacts.require(Kind::Dataset, &id).await.is_ok();
            assert_eq!(is_there, !removed);
            assert!(is_there || !found, "found, and removed afterwards");
            artifacts.put(Kind::Dataset, &source).await.unwrap();
        }
    }
}
