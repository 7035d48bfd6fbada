//! redb: one file, one process, every commit synced to disk.

/// The file, opened again after a disk error.
mod file;
/// Histories: an entry an event.
mod histories;

use std::path::Path;
use std::sync::Arc;

use domain::{Catalog, History, Interaction, UserId};
use redb::{Database, ReadableDatabase, ReadableTable};

use crate::error::Error;
use crate::store::commit::{Commit, Entry, Pair, Place};
use crate::store::embedded::file::{ENTRIES, StoreFile, unavailable};
use crate::store::embedded_reads;
use crate::store::history::{Additions, Users, UsersPage};
use crate::store::range::Range;

#[derive(Debug, Clone)]
pub(crate) struct Embedded {
    file: Arc<StoreFile>,
}

impl Embedded {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = StoreFile::open(path)?;
        file.write(|database| {
            let write = database.begin_write().map_err(unavailable)?;
            write.open_table(ENTRIES).map_err(unavailable)?;
            histories::create_tables(&write)?;
            write.commit().map_err(unavailable)
        })?;
        Ok(Self {
            file: Arc::new(file),
        })
    }

    pub(crate) async fn get(
        &self,
        space: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let (space, key) = (space.to_owned(), key.to_owned());
        self.reading(move |database| {
            let table = database
                .begin_read()
                .map_err(unavailable)?
                .open_table(ENTRIES)
                .map_err(unavailable)?;
            let value = table
                .get((space.as_str(), key.as_str()))
                .map_err(unavailable)?;
            Ok(value.map(|value| value.value().to_vec()))
        })
        .await
    }

    pub(crate) async fn scan(&self, space: &str) -> Result<Vec<Pair>, Error> {
        let space = space.to_owned();
        self.reading(move |database| {
            let table = database
                .begin_read()
                .map_err(unavailable)?
                .open_table(ENTRIES)
                .map_err(unavailable)?;
            let mut entries = Vec::new();
            for entry in
                table.range((space.as_str(), "")..).map_err(unavailable)?
            {
                let (key, value) = entry.map_err(unavailable)?;
                let (entry_space, key) = key.value();
                if entry_space != space {
                    break;
                }

                entries.push(Pair {
                    key: key.to_owned(),
                    value: value.value().to_vec(),
                });
            }

            Ok(entries)
        })
        .await
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<bool, Error> {
        self.blocking(move |database| {
            let write = database.begin_write().map_err(unavailable)?;
            {
                let mut table =
                    write.open_table(ENTRIES).map_err(unavailable)?;
                for Entry { space, key, value } in &commit.checks {
                    let found = table
                        .get((space.as_str(), key.as_str()))
                        .map_err(unavailable)?;
                    if found.as_ref().map(|found| found.value())
                        != value.as_deref()
                    {
                        return Ok(false); // dropping the transaction aborts it
                    }
                }

                for Entry { space, key, value } in &commit.writes {
                    let place = (space.as_str(), key.as_str());
                    match value {
                        Some(value) => table
                            .insert(place, value.as_slice())
                            .map_err(unavailable)?,
                        None => table.remove(place).map_err(unavailable)?,
                    };
                }

                for Place { index, key } in &commit.left {
                    let place = (index.as_str(), key.as_str());
                    table.remove(place).map_err(unavailable)?;
                }

                for Place { index, key } in &commit.entered {
                    let place = (index.as_str(), key.as_str());
                    table.insert(place, &[][..]).map_err(unavailable)?;
                }
            }
            write.commit().map_err(unavailable)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn get_many(
        &self,
        space: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let space = space.to_owned();
        self.reading(move |database| {
            embedded_reads::get_many(&table(database)?, &space, &keys)
                .map_err(unavailable)
        })
        .await
    }

    pub(crate) async fn keys(&self, space: &str) -> Result<Vec<String>, Error> {
        let all = Range::first(usize::MAX);
        self.range(space, all).await
    }

    pub(crate) async fn range(
        &self,
        index: &str,
        range: Range,
    ) -> Result<Vec<String>, Error> {
        let index = index.to_owned();
        self.reading(move |database| {
            embedded_reads::range(&table(database)?, &index, &range)
                .map_err(unavailable)
        })
        .await
    }

    /// Records what is new; the number of new events for each entry of the
    /// batch, or why that user's were not recorded.
    pub(crate) async fn record_histories(
        &self,
        additions: Additions,
    ) -> Result<Vec<Result<usize, Error>>, Error> {
        self.blocking(move |database| histories::record(database, &additions))
            .await
    }

    pub(crate) async fn forget_events(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        let (catalog, batch) = (catalog.clone(), batch.to_vec());
        self.blocking(move |database| {
            histories::forget(database, &catalog, &batch)
        })
        .await
    }

    pub(crate) async fn delete_history(
        &self,
        catalog: &Catalog,
        user: &UserId,
        now_ms: i64,
    ) -> Result<(), Error> {
        let (catalog, user) = (catalog.clone(), user.clone());
        self.blocking(move |database| {
            histories::delete(database, &catalog, &user, now_ms)
        })
        .await
    }

    pub(crate) async fn users(
        &self,
        catalog: &Catalog,
        page: &UsersPage,
    ) -> Result<Users, Error> {
        let (catalog, page) = (catalog.clone(), page.clone());
        self.reading(move |database| {
            histories::users(database, &catalog, &page)
        })
        .await
    }

    pub(crate) async fn history(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<History, Error> {
        let (catalog, user) = (catalog.clone(), user.clone());
        self.reading(move |database| histories::read(database, &catalog, &user))
            .await
    }

    /// Runs what may write off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || file.write(work))
            .await
            .map_err(Error::unavailable("the embedded store"))?
    }

    /// Runs what only reads off the async threads, also while the disk is full.
    async fn reading<T: Send + 'static>(
        &self,
        work: impl Fn(&Database) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || file.read(work))
            .await
            .map_err(Error::unavailable("the embedded store"))?
    }
}

/// The entries as they are now.
fn table(database: &Database) -> Result<embedded_reads::Entries, Error> {
    database
        .begin_read()
        .map_err(unavailable)?
        .open_table(ENTRIES)
        .map_err(unavailable)
}
