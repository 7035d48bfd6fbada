//! Histories: external ids with times, by catalog and user. Nothing acknowledged
//! is lost, and writers of one user never hinder each other.

use domain::{Catalog, History, Interaction, Retention, UserId};

use crate::clock::now_ms;
use crate::error::{Error, RefusedUsers};
use crate::store::Store;
use crate::store::history::{Additions, Kept};

pub use crate::store::history::{Users, UsersPage};

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
        self.store.history(catalog, user).await
    }

    /// Some of the users who have a history.
    pub async fn users(
        &self,
        catalog: &Catalog,
        page: &UsersPage,
    ) -> Result<Users, Error> {
        self.store.users_with_history(catalog, page).await
    }

    /// Records the interactions of several users; returns how many are new and
    /// kept. A user's are recorded all or none. Where some users' were not
    /// recorded, those of the others were: [`Error::NotRecorded`] names them.
    pub async fn record_all(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        let additions = Additions {
            catalog: catalog.clone(),
            batch: batch.to_vec(),
            kept: Kept::new(self.retention, now_ms()),
        };
        let outcomes = self.store.record_histories(additions).await?;
        let (mut n_new, mut first) = (0, None);
        let mut users = Vec::new();
        for ((user, _), outcome) in batch.iter().zip(outcomes) {
            match outcome {
                Ok(n) => n_new += n,
                Err(error) => {
                    users.push(user.clone());
                    first = first.or(Some(error));
                }
            }
        }

        let Some(first) = first else {
            return Ok(n_new);
        };
        let n_asked = batch.len();
        Err(Error::NotRecorded {
            users: RefusedUsers { users, n_asked },
            source: Box::new(first),
        })
    }

    /// Takes events back that were recorded: those with the same item, time and
    /// id; returns how many were there.
    pub async fn forget_all(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Result<usize, Error> {
        self.store.forget_events(catalog, batch).await
    }

    /// Forgets a user and leaves a tombstone, so that a late event does not
    /// bring them back.
    pub async fn delete(
        &self,
        catalog: &Catalog,
        user: &UserId,
    ) -> Result<(), Error> {
        self.store.delete_history(catalog, user, now_ms()).await
    }
}
