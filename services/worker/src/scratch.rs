//! The worker's place for files in the making: a folder of its own below
//! `scratch`, and beside it a file that the process holds locked while it
//! lives. A folder whose file nobody holds is a dead worker's and is removed.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::disk;
use crate::error::Error;

/// A place of one worker; it goes with the worker.
#[derive(Debug)]
pub(crate) struct Scratch {
    root: PathBuf,
    own: PathBuf,
    _held: File,
}

/// What the folders of workers are named.
const WORKER: &str = "worker-";
/// What the files are named that say whether their worker lives.
const LOCK: &str = "lock";
/// What earlier programs named their folders.
const EARLIER: &str = ".tmp";
/// Where nobody can say whether its owner lives, a day without a write counts
/// as death.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3_600);
/// Bytes that must fit on the disk before a job is asked for.
const LEAST_ROOM: usize = 64 << 10;

impl Scratch {
    /// Takes a place below a folder; removes what dead workers left there.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        disk::make_folder(root)?;
        let unique = uuid::Uuid::now_v7().simple();
        let own = root.join(format!("{WORKER}{unique}"));
        // Before the folder is there: one without a held file is a dead one's.
        let path = own.with_extension(LOCK);
        let held = disk::create(&path)?;
        if let Err(error) = held.lock() {
            tracing::warn!(%error, path = %path.display(), "cannot hold a file locked");
        }
        disk::make_folder(&own)?;
        let scratch = Self {
            root: root.to_owned(),
            own,
            _held: held,
        };
        scratch.sweep();
        Ok(scratch)
    }

    /// A new folder, which is removed when nobody holds it any more.
    pub(crate) fn folder(&self) -> Result<TempDir, Error> {
        disk::make_folder(&self.own)?;
        disk::scratch_folder(&self.own)
    }

    /// An error where nothing can be written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let probe = self.folder()?;
        disk::write(&probe.path().join("probe"), &[0; LEAST_ROOM])
    }

    /// Removes what dead workers left. Failing to costs space.
    pub(crate) fn sweep(&self) {
        for path in disk::entries(&self.root).unwrap_or_default() {
            if path == self.own {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() {
                remove_held_by_nobody(&path);
            } else if name.starts_with(WORKER) {
                remove_of_the_dead(&path);
            } else if name.starts_with(EARLIER) {
                remove_if_idle(&path);
            } else {
                sweep_unfinished(&path);
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now, the next worker removes.
        drop(disk::remove_folder(&self.own));
        drop(disk::remove_folder(&self.own.with_extension(LOCK)));
    }
}

/// Removes what was begun in a folder and given up.
pub(crate) fn sweep_unfinished(folder: &Path) {
    for path in disk::entries(folder).unwrap_or_default() {
        if disk::is_in_the_making(&path) {
            remove_if_idle(&path);
        }
    }
}

/// Removes a worker's folder, unless the worker lives.
fn remove_of_the_dead(folder: &Path) {
    let lock = folder.with_extension(LOCK);
    let Ok(file) = File::open(&lock) else {
        return remove_if_idle(folder);
    };
    match file.try_lock() {
        Ok(()) => {
            remove(folder);
            remove(&lock);
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(_)) => remove_if_idle(folder),
    }
}

/// Removes the file of a worker that died before it had a folder.
fn remove_held_by_nobody(path: &Path) {
    let is_lock = path.extension().is_some_and(|end| end == LOCK);
    if is_lock && !path.with_extension("").exists() {
        remove_if_idle(path);
    }
}

fn remove_if_idle(path: &Path) {
    if storage::is_idle(path, GIVEN_UP) {
        remove(path);
    }
}

fn remove(path: &Path) {
    match disk::remove_folder(path) {
        Ok(()) => {
            tracing::info!(path = %path.display(), "left-overs removed");
        }
        Err(error) => {
            let error = service::chain(&error);
            tracing::warn!(error, "cannot remove left-overs");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_worker_left_is_removed_and_the_living_keep_theirs() {
        let root = tempfile::tempdir().unwrap();
        let living = Scratch::open(root.path()).unwrap();
        let job = living.folder().unwrap();
        let dead = root.path().join("worker-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("model"), "half").unwrap();
        std::fs::write(dead.with_extension(LOCK), "").unwrap();
        // Nobody can say yet whether these are in use.
        let earlier = root.path().join(".tmpAbCdEf");
        std::fs::create_dir(&earlier).unwrap();
        let tokens = root.path().join("tokens");
        std::fs::create_dir_all(tokens.join("partial-1")).unwrap();

        let other = Scratch::open(root.path()).unwrap();
        assert!(!dead.exists() && !dead.with_extension(LOCK).exists());
        assert!(job.path().exists() && earlier.exists());
        assert!(tokens.join("partial-1").exists());
        living.check().unwrap();
        drop((other, job, living));
        let left = disk::entries(root.path()).unwrap();
        assert_eq!(left, [earlier, tokens], "nothing of the two workers");
    }
}
