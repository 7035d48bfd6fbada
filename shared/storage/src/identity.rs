//! Which store this is: a name that it gets once. The artifacts say which stores
//! use them, so that whoever collects garbage knows whether it sees all records.

use crate::Storage;
use crate::error::Error;
use crate::store::{Commit, Store};

const SPACE: &str = "store-name";
const NAME: &str = "name";

/// Whose the artifacts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Only the records of this store name them.
    Ours,
    /// Nothing says that this store's records name them: it lost its records, or
    /// these are other artifacts than those that the coordinator began with.
    NotOurs,
    /// The records of these other stores name them too.
    Shared(Vec<String>),
}

impl Storage {
    /// Writes down beside the artifacts that this store's records name them.
    pub async fn claim_artifacts(&self) -> Result<(), Error> {
        let name = match name(&self.store).await? {
            Some(name) => name,
            None => new_name(&self.store).await?,
        };
        self.artifacts.claim(name).await
    }

    /// Tells whether only this store's records name the artifacts.
    pub async fn ownership(&self) -> Result<Ownership, Error> {
        let own = name(&self.store).await?;
        let mut others = self.artifacts.claims().await?;
        let n_claims = others.len();
        others.retain(|store| Some(store) != own.as_ref());
        Ok(match others.is_empty() {
            false => Ownership::Shared(others),
            true if n_claims == 0 => Ownership::NotOurs,
            true => Ownership::Ours,
        })
    }
}

async fn name(store: &Store) -> Result<Option<String>, Error> {
    let name = store.get(SPACE, NAME).await?;
    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

async fn new_name(store: &Store) -> Result<String, Error> {
    let name = uuid::Uuid::now_v7().simple().to_string();
    let mut commit = Commit::default();
    commit.check(SPACE, NAME, None);
    commit.set(SPACE, NAME, name.clone().into());
    if store.commit(commit).await? {
        return Ok(name);
    }

    // Another coordinator was faster.
    let winner = store.get(SPACE, NAME).await?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&winner).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::embedded;

    #[tokio::test]
    async fn artifacts_that_another_store_uses_are_shared() {
        let folder = tempfile::tempdir().unwrap();
        let settings = embedded(folder.path());
        let storage = Storage::open(&settings).await.unwrap();
        assert_eq!(storage.ownership().await.unwrap(), Ownership::NotOurs);
        for _ in 0..2 {
            storage.claim_artifacts().await.unwrap();
            assert_eq!(storage.ownership().await.unwrap(), Ownership::Ours);
        }

        // A store that lost everything is another one.
        let store = format!("embedded:{}/new.redb", folder.path().display());
        let emptied = crate::Settings { store, ..settings };
        let emptied = Storage::open(&emptied).await.unwrap();
        let seen = emptied.ownership().await.unwrap();
        assert!(matches!(seen, Ownership::Shared(_)), "{seen:?}");
        emptied.claim_artifacts().await.unwrap();
        let seen = emptied.ownership().await.unwrap();
        assert!(matches!(seen, Ownership::Shared(_)), "{seen:?}");
        let seen = storage.ownership().await.unwrap();
        assert!(matches!(seen, Ownership::Shared(_)), "{seen:?}");
    }
}
