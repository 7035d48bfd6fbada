//! What every place for artifacts must keep to, whatever it is made of.
//!
//! The promises are functions over a [`Place`]; today one place runs them, a
//! local folder. A bucket's would implement the same few methods.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::ArtifactId;
use tempfile::TempDir;

use super::*;
use crate::artifacts::folder::Staged;

/// A place for artifacts and ways to reach behind its back.
trait Place {
    fn new() -> Self;

    /// The store, as a process that has just started opens it.
    fn open(&self) -> Artifacts;

    /// Writes a file of an artifact, as a fault or an earlier program does.
    fn plant(&self, file: &At<'_>, bytes: &[u8]);

    fn remove(&self, file: &At<'_>);

    /// Half-made things that nobody was asked for.
    fn n_leftovers(&self) -> usize;

    /// Begins an upload and stops before anybody could see it.
    fn stage(&self, artifacts: &Artifacts, source: &Path) -> Staged;

    /// Goes on with it.
    fn publish(&self, artifacts: &Artifacts, upload: &Staged) -> bool;

    /// Makes uploads fail until `repair`.
    fn break_uploads(&self);

    fn repair(&self);
}

/// A file of a stored artifact.
struct At<'a> {
    kind: Kind,
    id: &'a ArtifactId,
    name: &'a str,
}

struct LocalFolder {
    folder: TempDir,
}

impl LocalFolder {
    fn root(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    fn path(&self, file: &At<'_>) -> PathBuf {
        let folder = self.root().join(file.kind.folder());
        folder.join(file.id.as_str()).join(file.name)
    }
}

impl Place for LocalFolder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> Artifacts {
        let settings = crate::settings::embedded(self.folder.path());
        Artifacts::open(&settings).unwrap()
    }

    fn plant(&self, file: &At<'_>, bytes: &[u8]) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn remove(&self, file: &At<'_>) {
        std::fs::remove_file(self.path(file)).unwrap();
    }

    fn n_leftovers(&self) -> usize {
        let staging = std::fs::read_dir(self.root().join("staging"));
        staging.into_iter().flatten().count()
    }

    fn stage(&self, artifacts: &Artifacts, source: &Path) -> Staged {
        let index = Index::of(source).unwrap();
        let owner = &artifacts.owner;
        artifacts.folder.stage(owner, source, index).unwrap()
    }

    fn publish(&self, artifacts: &Artifacts, upload: &Staged) -> bool {
        artifacts.folder.publish(upload, Kind::Model).is_ok()
    }

    fn break_uploads(&self) {
        // Nobody may write there, not even root.
        let staging = self.root().join("staging");
        drop(std::fs::remove_dir(&staging));
        std::fs::write(staging, "").unwrap();
    }

    fn repair(&self) {
        std::fs::remove_file(self.root().join("staging")).unwrap();
    }
}

/// Files that are to be stored.
fn source() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.json"), "{}").unwrap();
    let tables: Vec<u8> = (0..3_000_000).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.path().join("tables"), tables).unwrap();
    folder
}

fn tables(id: &ArtifactId) -> At<'_> {
    At {
        kind: Kind::Model,
        id,
        name: "tables",
    }
}

fn named<'a>(id: &'a ArtifactId, name: &'a str) -> At<'a> {
    At { name, ..tables(id) }
}

/// The stored files are those of the source, for a process that knows nothing.
async fn assert_whole(place: &impl Place, id: &ArtifactId, source: &Path) {
    let fresh = place.open();
    let folder = fresh.open_verified(Kind::Model, id).await.unwrap();
    for name in ["model.json", "tables"] {
        let stored = std::fs::read(folder.join(name)).unwrap();
        assert!(stored == std::fs::read(source.join(name)).unwrap());
    }
    let listed = fresh.list(Kind::Model).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(id));
    assert_eq!(place.n_leftovers(), 0, "nothing half-made is left");
}

async fn is_damaged(artifacts: &Artifacts, id: &ArtifactId) -> bool {
    let opened = artifacts.open_verified(Kind::Model, id).await;
    match opened {
        Ok(_) => false,
        Err(Error::Corrupt { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

/// What is stored is named by its content, and what is deleted is gone.
async fn names_and_deletes<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let put = artifacts.put(Kind::Model, source.path()).await;
    let id = put.unwrap();
    assert_eq!(id, content_id(source.path()).unwrap());
    assert_whole(&place, &id, source.path()).await;
    let again = artifacts.put(Kind::Model, source.path()).await;
    assert_eq!(again.unwrap(), id, "the same content, the same artifact");
    let other_kind = artifacts.folder(Kind::Dataset, &id).await;
    assert!(matches!(other_kind, Err(Error::NotFound { .. })));
    assert!(artifacts.n_bytes(Kind::Model, &id).await.unwrap() > 3_000_000);

    artifacts.delete(Kind::Model, &id).await.unwrap();
    assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
    let gone = artifacts.delete(Kind::Model, &id).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    assert_eq!(place.n_leftovers(), 0);
}

/// Nobody sees an upload before it is whole, and one that was given up leaves
/// nothing.
async fn shows_nothing_unfinished<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let upload = place.stage(&artifacts, source.path());
    assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
    drop(upload);
    assert_eq!(place.n_leftovers(), 0);

    place.break_uploads();
    assert!(artifacts.put(Kind::Model, source.path()).await.is_err());
    assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
    place.repair();
    let id = artifacts.put(Kind::Model, source.path()).await.unwrap();
    assert_whole(&place, &id, source.path()).await;
}

/// Files beside those that the index names change nothing.
async fn ignores_strays<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let id = artifacts.put(Kind::Model, source.path()).await.unwrap();
    let n_bytes = artifacts.n_bytes(Kind::Model, &id).await.unwrap();
    for name in ["tables#1", "x.tmp", "folder/file", "index.json#2"] {
        place.plant(&named(&id, name), b"stray");
    }
    assert_whole(&place, &id, source.path()).await;
    assert_eq!(artifacts.n_bytes(Kind::Model, &id).await.unwrap(), n_bytes);
    artifacts.delete(Kind::Model, &id).await.unwrap();
    assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
}

/// A kind of damage to a stored model.
type Damage<P> = fn(&P, &ArtifactId);

/// Damage of every kind is noticed, and storing the content again mends it.
async fn is_mended_by_the_next_put<P: Place>() {
    let damages: [Damage<P>; 6] = [
        |place, id| place.plant(&tables(id), b"other bytes"),
        |place, id| place.plant(&tables(id), &[0; 3_000_000]),
        |place, id| place.remove(&tables(id)),
        |place, id| place.plant(&named(id, INDEX), b"{\"files\":{}}"),
        |place, id| place.plant(&named(id, INDEX), b"{"),
        |place, id| {
            place.remove(&tables(id));
            place.plant(&named(id, "tables/inside"), b"a folder");
        },
    ];
    for damage in damages {
        let (place, source) = (P::new(), source());
        let artifacts = place.open();
        let id = artifacts.put(Kind::Model, source.path()).await.unwrap();
        damage(&place, &id);
        assert!(is_damaged(&artifacts, &id).await);
        let verified = artifacts.verify(Kind::Model, &id).await;
        assert!(matches!(verified, Err(Error::Corrupt { .. })));
        let again = artifacts.put(Kind::Model, source.path()).await;
        assert_eq!(again.unwrap(), id);
        assert_whole(&place, &id, source.path()).await;

        damage(&place, &id);
        artifacts.delete(Kind::Model, &id).await.unwrap();
        let again = artifacts.put(Kind::Model, source.path()).await;
        assert_eq!(again.unwrap(), id);
        assert_whole(&place, &id, source.path()).await;
    }
}

/// What an earlier program left of an upload that it did not end, beside the
/// files, with or without an index, is in nobody's way.
async fn is_mended_after_an_earlier_program<P: Place>() {
    let (place, source) = (P::new(), source());
    let id = content_id(source.path()).unwrap();
    place.plant(&named(&id, "model.json"), b"{}");
    place.plant(&named(&id, "tables#1"), b"half of it");
    let artifacts = place.open();
    let missing = artifacts.require(Kind::Model, &id).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    let put = artifacts.put(Kind::Model, source.path()).await;
    assert_eq!(put.unwrap(), id);
    assert_whole(&place, &id, source.path()).await;
    // An index that was written over such a folder is right, and read.
    place.plant(&named(&id, "tables#7"), b"half of it");
    assert_whole(&place, &id, source.path()).await;
}

/// A writer that was stopped for long can neither publish rubbish nor keep the
/// others from publishing.
async fn is_not_held_up_by_a_sleeper<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let sleeper = artifacts.staged_by("job-1", 1);
    let asleep = place.stage(&sleeper, source.path());
    let winner = artifacts.staged_by("job-1", 2);
    let put = winner.put(Kind::Model, source.path()).await;
    let id = put.unwrap();
    assert!(place.publish(&sleeper, &asleep), "the same bytes");
    drop(asleep);
    assert_whole(&place, &id, source.path()).await;

    let asleep = place.stage(&sleeper, source.path());
    let other = place.stage(&artifacts.staged_by("job-10", 1), source.path());
    assert_eq!(artifacts.sweep_job("job-1").await.unwrap(), 1);
    artifacts.delete(Kind::Model, &id).await.unwrap();
    assert!(!place.publish(&sleeper, &asleep), "its staging is gone");
    assert!(artifacts.list(Kind::Model).await.unwrap().is_empty());
    assert!(place.publish(&artifacts, &other), "it is another job's");
    drop((asleep, other));
    assert_whole(&place, &id, source.path()).await;
}

/// Uploads that nobody goes on with are removed, those under way are not.
async fn is_swept_by_age<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let upload = place.stage(&artifacts, source.path());
    let hour = Duration::from_secs(3_600);
    assert_eq!(artifacts.sweep(hour).await.unwrap(), 0);
    assert_eq!(place.n_leftovers(), 1);
    assert_eq!(artifacts.sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(place.n_leftovers(), 0);
    assert!(!place.publish(&artifacts, &upload));
}

/// Many writers of the same and of other content at once: all succeed.
async fn takes_many_writers<P: Place>() {
    let (place, source) = (P::new(), source());
    let artifacts = place.open();
    let damaged = artifacts.put(Kind::Model, source.path()).await.unwrap();
    place.plant(&tables(&damaged), b"other bytes");
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (own, path) = (place.open(), source.path().to_owned());
        writers
            .spawn(async move { own.put(Kind::Model, &path).await.unwrap() });
    }
    for id in writers.join_all().await {
        assert_eq!(id, damaged);
    }
    assert_whole(&place, &damaged, source.path()).await;
}

#[tokio::test]
async fn a_local_folder_names_and_deletes() {
    names_and_deletes::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_shows_nothing_unfinished() {
    shows_nothing_unfinished::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_ignores_strays() {
    ignores_strays::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_is_mended_by_the_next_put() {
    is_mended_by_the_next_put::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_is_mended_after_an_earlier_program() {
    is_mended_after_an_earlier_program::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_is_not_held_up_by_a_sleeper() {
    is_not_held_up_by_a_sleeper::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_is_swept_by_age() {
    is_swept_by_age::<LocalFolder>().await;
}

#[tokio::test]
async fn a_local_folder_takes_many_writers() {
    takes_many_writers::<LocalFolder>().await;
}
