//! Histories: external ids with times, one entry a (catalog, user). Nothing
//! acknowledged is lost.

use domain::{Catalog, History, Interaction, Retention, UserId};

use crate::clock::now_ms;
use crate::error::Error;
use crate::record::{decode, encode};
use crate::store::{Commit, Store};

/// Writers that meet on one user.
const N_TRIES: usize = 50;

/// Keeps the histories of users.
#[derive(Debug, Clone)]
pub struct Histories {
    store: Store,
    retention: Retention,
}

impl Histories {
    pub(crate) fn new(store: Store, retention: Retention) -> Self {
        Self { store, retention }
    }

    /// Reads a user's history; empty for a user that nobody has heard of.
    pub async fn of(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<History, Error> {
        self.read(&space(catalog), user)
            .await
            .map(|(history, _)| history)
    }

    /// Records the interactions of several users in one commit; returns how
    /// many were new.
    pub async fn record_all(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        let space = space(catalog);
        for _ in 0..N_TRIES {
            let (mut commit, mut n_new) = (Commit::default(), 0);
            for (user, events) in batch {
                let (mut history, before) = self.read(&space, user).await?;
                let n = history.record(events, self.retention, now_ms());
                if n == 0 {
                    continue;
                }
                n_new += n;
                commit.check(&space, user.as_str(), before);
                commit.set(&space, user.as_str(), encode(&history));
            }

            if commit.writes.is_empty() || self.store.commit(commit).await? {
                return Ok(n_new);
            }
        }

        let what = format!("the histories of {} users", batch.len());
        Err(Error::Contended(what))
    }

    /// Forgets a user and leaves a tombstone, so that a late event does not
    /// bring them back.
    pub async fn delete(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<(), Error> {
        let space = space(catalog);
        for _ in 0..N_TRIES {
            let (mut history, before) = self.read(&space, user).await?;
            history.delete(now_ms());
            let mut commit = Commit::default();
            commit.check(&space, user.as_str(), before);
            commit.set(&space, user.as_str(), encode(&history));
            if self.store.commit(commit).await? {
                return Ok(());
            }
        }

        Err(Error::Contended(format!("the history of user `{user}`")))
    }

    async fn read(
        &self,
        space: &str,
        user: &UserId,
    ) -> Result<(History, Option<Vec<u8>>), Error> {
        let bytes = self.store.get(space, user.as_str()).await?;
        let history = match &bytes {
            Some(bytes) => {
                decode(&format!("the history of user `{user}`"), bytes)?
            }
            None => History::default(),
        };

        Ok((history, bytes))
    }
}

fn space(catalog: &Catalog) -> String {
    format!("histories:{catalog}")
}
