//! What this process has verified already.
//!
//! A backbone that a hundred models share is not hashed a hundred times. Every
//! file that the index names is looked at each time; its bytes are read again
//! once its size, its inode or one of its times is another.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ArtifactId;

use crate::artifacts::index::Index;
use crate::artifacts::kind::Kind;
use crate::error::Error;

/// Remembers artifacts that were whole; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Verified {
    seen: Arc<Mutex<Seen>>,
}

/// How the files of artifacts looked when they were whole.
type Seen = HashMap<(Kind, ArtifactId), Vec<Stamp>>;

/// What a file looks like from outside. Any write changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    n_bytes: u64,
    /// When it was written to: seconds and nanoseconds.
    modified: [i64; 2],
    /// When anything of it changed: seconds and nanoseconds. Nobody can set it
    /// back.
    changed: [i64; 2],
}

/// Artifacts that are remembered; all are forgotten when there are more.
const MOST: usize = 4_096;

impl Verified {
    pub(super) fn knows(
        &self,
        kind: Kind,
        id: &ArtifactId,
        stamps: &[Stamp],
    ) -> bool {
        let seen = self.lock();
        let known = seen.get(&(kind, id.clone()));
        known.is_some_and(|known| known == stamps)
    }

    /// Notes that the files were whole when they had these stamps.
    pub(super) fn note(&self, kind: Kind, id: &ArtifactId, stamps: Vec<Stamp>) {
        let mut seen = self.lock();
        if seen.len() >= MOST {
            seen.clear();
        }

        seen.insert((kind, id.clone()), stamps);
    }

    pub(super) fn forget(&self, kind: Kind, id: &ArtifactId) {
        self.lock().remove(&(kind, id.clone()));
    }

    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at each file that an index names.
pub(super) fn stamps(
    folder: &Path,
    index: &Index,
) -> Result<Vec<Stamp>, Error> {
    let mut stamps = Vec::with_capacity(index.files.len());
    for name in index.files.keys() {
        let path = folder.join(name);
        let found = fs::metadata(&path).map_err(Error::file(path))?;
        stamps.push(Stamp {
            inode: found.ino(),
            n_bytes: found.len(),
            modified: [found.mtime(), found.mtime_nsec()],
            changed: [found.ctime(), found.ctime_nsec()],
        });
    }

    Ok(stamps)
}
