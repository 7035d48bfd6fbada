//! What is known of an artifact beside its files. A note is no part of the
//! artifact: its id does not cover it, nothing needs it, and the next one takes
//! its place.

use std::fs;

use domain::ArtifactId;

use crate::artifacts::Artifacts;
use crate::artifacts::folder::{Folder, write};
use crate::artifacts::index::is_absent;
use crate::artifacts::kind::Kind;
use crate::error::Error;

/// Bytes of the longest note that is read.
const LONGEST: u64 = 1 << 20;

impl Artifacts {
    /// Writes a note beside an artifact's files: its name and its bytes.
    pub async fn annotate(
        &self,
        kind: Kind,
        id: &ArtifactId,
        note: (&'static str, Vec<u8>),
    ) -> Result<(), Error> {
        let id = id.clone();
        self.blocking(move |own| own.folder.write_note(kind, &id, note))
            .await
    }

    /// Reads a note; `None` where there is none.
    pub async fn note(
        &self,
        kind: Kind,
        id: &ArtifactId,
        name: &'static str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let id = id.clone();
        self.blocking(move |own| own.folder.read_note(kind, &id, name))
            .await
    }
}

impl Folder {
    fn write_note(
        &self,
        kind: Kind,
        id: &ArtifactId,
        (name, bytes): (&'static str, Vec<u8>),
    ) -> Result<(), Error> {
        let place = self.place(kind, id).join(name);
        let staged = self.new_staging_place(name);
        fs::create_dir_all(self.staging()).map_err(Error::file(&staged))?;
        write(&staged, &bytes)?;
        let moved = fs::rename(&staged, &place).map_err(Error::file(place));
        if moved.is_err() {
            drop(fs::remove_file(&staged));
        }
        moved
    }

    fn read_note(
        &self,
        kind: Kind,
        id: &ArtifactId,
        name: &'static str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let place = self.place(kind, id).join(name);
        let length = match fs::metadata(&place) {
            Ok(found) => found.len(),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(Error::file(place)(error)),
        };
        if length > LONGEST {
            let reason = format!("it has {length} bytes");
            return Err(Error::corrupt(place.display().to_string(), reason));
        }
        fs::read(&place).map(Some).map_err(Error::file(place))
    }
}
