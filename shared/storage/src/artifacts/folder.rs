//! Artifacts as folders of a file system that all services see.
//!
//! `{kind}/{id}/` has an artifact's files and their index. An upload lives in
//! `staging/{owner}.{unique}/` until it is whole and verified; then one rename
//! makes it visible. Where something is in the way — what an earlier program
//! left half-way, or a damaged artifact — its files are put in one by one, each
//! by a rename and the index last: all writers of an id put the same bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use domain::ArtifactId;

use crate::artifacts::index::{INDEX, Index, file_hash, is_absent};
use crate::artifacts::kind::Kind;
use crate::error::Error;

/// The folder that artifacts are kept in.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
}

/// An upload that is whole and verified, and that nobody sees. What is left of
/// it goes with it.
#[derive(Debug)]
pub(super) struct Staged {
    index: Index,
    path: PathBuf,
}

const STAGING: &str = "staging";
/// The owner of what is being deleted: a sweep finishes that at once.
const DISCARDED: &str = "discarded";
/// Bytes that are copied at once.
const PART_BYTES: usize = 1 << 20;

impl Folder {
    /// Opens a folder, making it where there is none.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        fs::create_dir_all(root).map_err(Error::file(root))?;
        let root = root.canonicalize().map_err(Error::file(root))?;
        Ok(Self { root })
    }

    /// The place of an artifact, whether it is there or not.
    pub(super) fn place(&self, kind: Kind, id: &ArtifactId) -> PathBuf {
        self.root.join(kind.folder()).join(id.as_str())
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Reads the index of an artifact.
    pub(super) fn index(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<Index, Error> {
        let index = Index::read(&self.place(kind, id), id);
        if let Some(index) = index.map_err(|error| kind.damaged(id, error))? {
            return Ok(index);
        }

        // A root that is gone says nothing about what is in it.
        fs::metadata(&self.root).map_err(Error::file(&self.root))?;
        Err(Error::NotFound {
            kind: kind.name(),
            name: id.to_string(),
        })
    }

    /// Checks every byte of the files that an index names.
    pub(super) fn check(&self, at: &Path, index: &Index) -> Result<(), Error> {
        for (name, wanted) in &index.files {
            let path = at.join(name);
            let reason = match file_hash(&path) {
                Ok(found) if found == *wanted => continue,
                Ok(_) => "it has other bytes than its index says",
                Err(Error::File { source, .. }) if is_missing(&source) => {
                    "it is missing"
                }
                Err(error) => return Err(error),
            };

            return Err(Error::corrupt(path.display().to_string(), reason));
        }

        Ok(())
    }

    /// Copies the files that an index names into a staging place, and checks
    /// what came there.
    pub(super) fn stage(
        &self,
        owner: &str,
        source: &Path,
        index: Index,
    ) -> Result<Staged, Error> {
        let path = self.new_staging_place(owner);
        fs::create_dir_all(self.staging()).map_err(Error::file(&path))?;
        fs::create_dir(&path).map_err(Error::file(&path))?;
        let staged = Staged { index, path };
        for name in staged.index.files.keys() {
            copy(&source.join(name), &staged.path.join(name))?;
        }

        write(&staged.path.join(INDEX), &staged.index.to_bytes())?;
        sync_folder(&staged.path)?;
        self.check(&staged.path, &staged.index)?;
        Ok(staged)
    }

    pub(super) fn new_staging_place(&self, owner: &str) -> PathBuf {
        let unique = uuid::Uuid::now_v7().simple();
        self.staging().join(format!("{owner}.{unique}"))
    }

    /// Makes an upload visible under its id, as a whole.
    pub(super) fn publish(
        &self,
        staged: &Staged,
        kind: Kind,
    ) -> Result<(), Error> {
        let place = self.place(kind, &staged.index.id());
        let parent = self.root.join(kind.folder());
        fs::create_dir_all(&parent).map_err(Error::file(&parent))?;
        match fs::rename(&staged.path, &place) {
            Ok(()) => {}
            Err(error) if is_taken(&error) => staged.put_into(&place)?,
            Err(error) => return Err(Error::file(&staged.path)(error)),
        }

        sync_folder(&parent)
    }

    /// Lists the ids of a kind, ascending: of everything that has an index.
    pub(super) fn list(&self, kind: Kind) -> Result<Vec<ArtifactId>, Error> {
        let mut ids = Vec::new();
        for path in entries(&self.root.join(kind.folder()))? {
            if path.join(INDEX).is_file()
                && let Some(id) = id_of(&path)
            {
                ids.push(id);
            }
        }

        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes an artifact, whatever is left of it.
    pub(super) fn delete(
        &self,
        kind: Kind,
        id: &ArtifactId,
    ) -> Result<(), Error> {
        self.discard(&self.place(kind, id))?;
        Ok(())
    }

    /// Moves a folder out of everybody's sight and removes it there: nobody
    /// sees a part of it, and no upload is published while it is removed.
    /// Returns false where there was none.
    pub(super) fn discard(&self, path: &Path) -> Result<bool, Error> {
        let Some(bin) = self.set_aside(path, DISCARDED)? else {
            return Ok(false);
        };
        remove_all(&bin)?;
        Ok(true)
    }

    /// Moves a folder out of everybody's sight, into a staging place of this
    /// owner; returns where it is now, `None` where there was none.
    pub(super) fn set_aside(
        &self,
        path: &Path,
        owner: &str,
    ) -> Result<Option<PathBuf>, Error> {
        let bin = self.new_staging_place(owner);
        fs::create_dir_all(self.staging()).map_err(Error::file(&bin))?;
        match fs::rename(path, &bin) {
            Ok(()) => Ok(Some(bin)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(Error::file(path)(error)),
        }
    }

    /// Removes the uploads of an owner who has no more to say.
    pub(super) fn sweep_of(&self, owner: &str) -> Result<usize, Error> {
        let prefix = format!("{owner}.");
        let mut n_swept = 0;
        for path in entries(&self.staging())? {
            if name_of(&path).starts_with(&prefix) {
                self.discard(&path)?;
                n_swept += 1;
            }
        }

        Ok(n_swept)
    }

    /// Removes uploads that nobody has written to for so long, and of
    /// checkpoints what an earlier program left half-way.
    pub(super) fn sweep(&self, idle: Duration) -> Result<usize, Error> {
        let mut n_swept = 0;
        for path in entries(&self.staging())? {
            if self.put_retired_back(&path)? {
                continue;
            }

            let is_discarded = name_of(&path).starts_with(DISCARDED);
            if is_discarded || is_idle(&path, idle) {
                self.discard(&path)?;
                n_swept += 1;
            }
        }

        for path in entries(&self.root.join(Kind::Checkpoint.folder()))? {
            let is_half = !path.join(INDEX).exists();
            if is_half && is_idle(&path, idle) {
                self.discard(&path)?;
                n_swept += 1;
            }
        }

        Ok(n_swept)
    }
}

impl Staged {
    /// Puts the files into a folder that is there already, the index last.
    fn put_into(&self, place: &Path) -> Result<(), Error> {
        if !place.is_dir() {
            fs::remove_file(place).map_err(Error::file(place))?;
            return fs::rename(&self.path, place)
                .map_err(Error::file(&self.path));
        }

        for (name, wanted) in &self.index.files {
            let is_whole =
                file_hash(&place.join(name)).is_ok_and(|h| h == *wanted);
            if !is_whole {
                self.put_file(name, place)?;
            }
        }

        self.put_file(INDEX, place)?;
        sync_folder(place)
    }

    fn put_file(&self, name: &str, place: &Path) -> Result<(), Error> {
        let to = place.join(name);
        if to.is_dir() {
            remove_all(&to)?;
        }

        fs::rename(self.path.join(name), &to).map_err(Error::file(to))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once it is published there is nothing; what cannot be removed now is
        // swept later.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Copies a file and makes sure that it is on the disk.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = File::open(from).map_err(Error::file(from))?;
    let mut target = File::create_new(to).map_err(Error::file(to))?;
    let mut part = vec![0; PART_BYTES];
    loop {
        let n = source.read(&mut part).map_err(Error::file(from))?;
        if n == 0 {
            return target.sync_all().map_err(Error::file(to));
        }

        target.write_all(&part[..n]).map_err(Error::file(to))?;
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = File::create_new(path).map_err(Error::file(path))?;
    file.write_all(bytes).map_err(Error::file(path))?;
    file.sync_all().map_err(Error::file(path))
}

/// Makes sure that what a folder lists is on the disk.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = File::open(path).map_err(Error::file(path))?;
    folder.sync_all().map_err(Error::file(path))
}

/// Lists what a folder holds; nothing where there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::file(folder)(error)),
    };

    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.map_err(Error::file(folder))?.path());
    }

    Ok(paths)
}

fn remove_all(path: &Path) -> Result<(), Error> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };

    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::file(path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The id in a folder's name; a folder with another name is not the store's.
fn id_of(path: &Path) -> Option<ArtifactId> {
    ArtifactId::new(name_of(path)).ok()
}

/// True for an error of a rename onto something that is there.
fn is_taken(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DirectoryNotEmpty
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
    )
}

/// True where a file is not there, or is none.
fn is_missing(error: &std::io::Error) -> bool {
    is_absent(error) || error.kind() == ErrorKind::IsADirectory
}

/// True for a folder in which nothing, or a file to which nothing, was written
/// for so long. What cannot be looked at is left alone.
pub fn is_idle(path: &Path, idle: Duration) -> bool {
    let mut latest = modified(path);
    for inner in entries(path).unwrap_or_default() {
        latest = latest.max(modified(&inner));
    }

    let age = latest.and_then(|latest| latest.elapsed().ok());
    age.is_some_and(|age| age >= idle)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}
