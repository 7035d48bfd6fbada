//! The file of an embedded store, and its life after a disk error.
//!
//! redb refuses everything once a write has failed. So whoever sees the first
//! error opens the file again at once, which undoes the commit that failed and
//! keeps all others: reads go on. Writes are refused for a moment, then one
//! tries; when it succeeds, all is well again.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, TableDefinition};

use crate::breaker::{Breaker, Turn};
use crate::clock::stopwatch_ms;
use crate::error::Error;

/// Values by space and key.
pub(crate) const ENTRIES: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("entries");

/// How errors and the log call it.
const WHAT: &str = "the embedded store";
/// How long nobody writes after a failure; each further one doubles it.
const FIRST_PAUSE_MS: i64 = 250;
const LONGEST_PAUSE_MS: i64 = 2_000;
/// How long a file that could not be opened is left alone.
const OPENING_PAUSE: Duration = Duration::from_millis(250);
/// What must fit on the disk before a write tries again.
const PROBE_BYTES: usize = 1 << 20;

/// A redb file that may have to be opened again; callers share it.
#[derive(Debug)]
pub(crate) struct StoreFile {
    path: PathBuf,
    opened: RwLock<Opened>,
    /// Keeps writes away from a disk that refuses them.
    breaker: Breaker,
    /// Why it cannot be written; `None` while all is well.
    trouble: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Opened {
    /// Absent while the file cannot be opened.
    database: Option<Database>,
    /// Grows with every opening, so that one failure opens it once.
    number: u64,
    failed_at: Option<Instant>,
}

/// Makes an empty file that only its owner reads, where there is none: it will
/// hold everybody's histories.
fn keep_from_others(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Error::file(path)(error))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

impl StoreFile {
    /// Opens a store, or makes an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        }

        keep_from_others(path)?;
        let database = match Database::create(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(Error::InUse(path.to_owned()));
            }
            other => other.map_err(unavailable)?,
        };
        let opened = Opened {
            database: Some(database),
            number: 0,
            failed_at: None,
        };
        Ok(Self {
            path: path.to_owned(),
            opened: RwLock::new(opened),
            breaker: Breaker::new(FIRST_PAUSE_MS, LONGEST_PAUSE_MS),
            trouble: Mutex::default(),
        })
    }

    /// Does what reads; once more when the file had to be opened again.
    pub(crate) fn read<T>(
        &self,
        work: impl Fn(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let first = self.attempt(&work)?;
        match first {
            Attempt::Done(value) => Ok(value),
            Attempt::DiskFailed { .. } => match self.attempt(&work)? {
                Attempt::Done(value) => Ok(value),
                Attempt::DiskFailed { reason } => {
                    Err(Error::unavailable(WHAT)(reason))
                }
            },
        }
    }

    /// Does what may write. Nothing of it is stored when it fails for the disk,
    /// or, where only its confirmation failed, all of it.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let turn = self.breaker.turn(stopwatch_ms());
        if turn == Turn::Closed {
            return Err(self.unwritable());
        }
        if turn == Turn::Trial
            && let Err(error) = self.probe()
        {
            return Err(self.failed(turn, error.to_string()));
        }

        match self.attempt(work) {
            Ok(Attempt::Done(value)) => {
                self.succeeded();
                Ok(value)
            }
            Ok(Attempt::DiskFailed { reason }) => {
                Err(self.failed(turn, reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Does something with the open file; opens it again after a disk error.
    fn attempt<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<Attempt<T>, Error> {
        let opened = self.opened()?;
        let Some(database) = opened.database.as_ref() else {
            return Err(self.unwritable());
        };
        let reason = match work(database) {
            Ok(value) => return Ok(Attempt::Done(value)),
            Err(error) => disk_error(&error).ok_or(error)?,
        };
        let number = opened.number;
        drop(opened);
        let reopened = self.reopen(number);
        if let Err(error) = reopened {
            tracing::warn!(path = %self.path.display(), %error, "the embedded store cannot be opened again yet");
        }
        Ok(Attempt::DiskFailed { reason })
    }

    /// The file, open; one that could not be opened is tried again.
    fn opened(&self) -> Result<RwLockReadGuard<'_, Opened>, Error> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if opened.database.is_some() {
            return Ok(opened);
        }
        let is_early = |at: Instant| at.elapsed() < OPENING_PAUSE;
        if opened.failed_at.is_some_and(is_early) {
            return Err(self.unwritable());
        }
        let number = opened.number;
        drop(opened);
        if let Err(error) = self.reopen(number) {
            return Err(self.failed(Turn::Trial, error.to_string()));
        }
        Ok(self.opened.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes and opens the file, unless somebody else has since that opening.
    fn reopen(&self, number: u64) -> Result<(), DatabaseError> {
        let mut opened =
            self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.number != number {
            return Ok(());
        }
        // The old one holds the lock on the file until it is dropped.
        drop(opened.database.take());
        match Database::open(&self.path) {
            Ok(database) => {
                opened.database = Some(database);
                opened.number += 1;
                opened.failed_at = None;
                Ok(())
            }
            Err(error) => {
                opened.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Writes something beside the store, to see whether the disk has room.
    fn probe(&self) -> std::io::Result<()> {
        let path = self.path.with_extension("probe");
        let written = write_and_sync(&path);
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    }

    /// Notes that a write failed for the disk.
    fn failed(&self, turn: Turn, reason: String) -> Error {
        self.breaker.failed(turn, stopwatch_ms());
        let mut trouble = self.trouble();
        if trouble.is_none() {
            tracing::error!(
                path = %self.path.display(),
                reason,
                "the embedded store cannot be written; it is tried again until it can"
            );
            *trouble = Some(reason);
        }
        drop(trouble);
        self.unwritable()
    }

    fn succeeded(&self) {
        self.breaker.succeeded();
        if self.trouble().take().is_some() {
            tracing::info!(
                path = %self.path.display(),
                "the embedded store can be written again"
            );
        }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritable(&self) -> Error {
        let reason = self.trouble().clone();
        Error::Unwritable {
            what: WHAT,
            reason: reason.unwrap_or_else(|| "its disk failed".to_owned()),
            remedy: "free space on its disk or mend it, and try again: no restart is needed",
        }
    }
}

/// How something with the open file ended.
enum Attempt<T> {
    Done(T),
    DiskFailed { reason: String },
}

fn write_and_sync(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(&vec![1; PROBE_BYTES])?;
    file.sync_all()
}

/// Tells what the disk said, if it was the disk that failed.
fn disk_error(error: &Error) -> Option<String> {
    let Error::Unavailable { source, .. } = error else {
        return None;
    };
    let error = source.downcast_ref::<redb::Error>()?;
    if let redb::Error::Io(error) = error {
        return Some(error.to_string());
    }
    let is_later = matches!(error, redb::Error::PreviousIo);
    is_later.then(|| "an earlier write failed".to_owned())
}

/// Makes an error of redb's one of ours.
pub(crate) fn unavailable(error: impl Into<redb::Error>) -> Error {
    Error::Unavailable {
        what: WHAT,
        source: Box::new(error.into()),
    }
}
