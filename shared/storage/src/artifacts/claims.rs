//! Which stores' records name these artifacts: `stores/` beside them has an empty
//! file for each. Nobody may take for garbage what another store's records need.

use std::fs;
use std::path::PathBuf;

use crate::artifacts::Artifacts;
use crate::artifacts::folder::{Folder, entries, name_of};
use crate::error::Error;

const CLAIMS: &str = "stores";

impl Artifacts {
    /// Writes down that the records of a store name these artifacts.
    pub(crate) async fn claim(&self, store: String) -> Result<(), Error> {
        self.blocking(move |own| own.folder.claim(&store)).await
    }

    /// Lists the stores whose records name these artifacts, ascending.
    pub(crate) async fn claims(&self) -> Result<Vec<String>, Error> {
        self.blocking(|own| own.folder.claims()).await
    }

    /// The folder that says which stores' records name these artifacts.
    pub fn claims_folder(&self) -> PathBuf {
        self.folder.root.join(CLAIMS)
    }
}

impl Folder {
    fn claim(&self, store: &str) -> Result<(), Error> {
        let folder = self.root.join(CLAIMS);
        let place = folder.join(store);
        if place.exists() {
            return Ok(());
        }

        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        fs::write(&place, "").map_err(Error::file(place))
    }

    fn claims(&self) -> Result<Vec<String>, Error> {
        let mut stores = Vec::new();
        for path in entries(&self.root.join(CLAIMS))? {
            stores.push(name_of(&path));
        }

        stores.sort_unstable();
        Ok(stores)
    }
}
