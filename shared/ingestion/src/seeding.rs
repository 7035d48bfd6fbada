//! Histories from a data set, wherever they are kept.

use std::collections::HashSet;

use dataset::{Dataset, Split};
use domain::{Catalog, Interaction, UserId};
use storage::Storage;

use crate::error::KeeperError;

/// Which splits become histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeededSplits {
    /// None: histories stay as they are.
    None,
    /// What was learned from; for evaluation.
    Train,
    /// Everything but the test.
    TrainValid,
    /// Everything, so that nobody is recommended what they have.
    All,
}

impl SeededSplits {
    fn contains(self, split: Split) -> bool {
        match split {
            Split::Train => self != Self::None,
            Split::Valid => self == Self::TrainValid || self == Self::All,
            Split::Test => self == Self::All,
        }
    }
}

/// Where histories are kept.
pub trait HistoryKeeper: Send {
    /// Writes a batch down; returns how many of its interactions were new.
    fn record(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> impl Future<Output = Result<usize, KeeperError>> + Send;

    /// Takes a batch back; returns how many of its interactions were there.
    fn forget(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> impl Future<Output = Result<usize, KeeperError>> + Send;
}

/// The store, which this process has open.
impl HistoryKeeper for Storage {
    async fn record(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> Result<usize, KeeperError> {
        Ok(self.histories.record_all(catalog, &batch).await?)
    }

    async fn forget(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> Result<usize, KeeperError> {
        Ok(self.histories.forget_all(catalog, &batch).await?)
    }
}

/// Interactions that are about to become histories, and where those are kept.
#[derive(Debug)]
pub struct Seeding<K> {
    /// Which splits become histories.
    pub splits: SeededSplits,
    /// Who writes them down.
    pub keeper: K,
}

/// Interactions of some users, each user's together.
pub type Batch = Vec<(UserId, Vec<Interaction>)>;

impl<K: HistoryKeeper> Seeding<K> {
    /// Records the interactions of the chosen splits; returns how many were
    /// new. Where that fails, those that were new are taken back.
    pub async fn record(
        &mut self,
        dataset: &Dataset,
    ) -> Result<usize, KeeperError> {
        if self.splits == SeededSplits::None {
            return Ok(0);
        }

        let catalog = &dataset.manifest.catalog;
        let mut batches = Batches::of(dataset, self.splits);
        let (mut n_new, mut new_rows) = (0, Vec::new());
        loop {
            let first_row = batches.next_row;
            let Some(batch) = batches.next_batch() else {
                return Ok(n_new);
            };
            let n_events: usize =
                batch.iter().map(|(_, events)| events.len()).sum();
            match self.keeper.record(catalog, batch).await {
                Ok(n) => {
                    n_new += n;
                    // What was there before is not this data set's alone.
                    if n == n_events {
                        new_rows.push(first_row);
                    }
                }
                Err(error) => {
                    self.take_back(dataset, &new_rows).await;
                    return Err(error);
                }
            }
        }
    }

    /// Takes the batches back that begin at these rows. The failure that led
    /// here is told, not another one.
    async fn take_back(&mut self, dataset: &Dataset, first_rows: &[usize]) {
        let catalog = &dataset.manifest.catalog;
        for &next_row in first_rows {
            let mut batches = Batches {
                next_row,
                ..Batches::of(dataset, self.splits)
            };
            if let Some(batch) = batches.next_batch()
                && self.keeper.forget(catalog, batch).await.is_err()
            {
                return;
            }
        }
    }

    /// Takes all interactions of a data set back; returns how many were there.
    pub async fn forget(
        &mut self,
        dataset: &Dataset,
    ) -> Result<usize, KeeperError> {
        let catalog = &dataset.manifest.catalog;
        let mut batches = Batches::of(dataset, self.splits);
        let mut n = 0;
        while let Some(batch) = batches.next_batch() {
            n += self.keeper.forget(catalog, batch).await?;
        }
        Ok(n)
    }

    /// Takes the interactions of an earlier data set back that a new one does
    /// not have; returns how many were there.
    pub async fn forget_replaced(
        &mut self,
        old: &Dataset,
        new: &Dataset,
    ) -> Result<usize, KeeperError> {
        if self.splits == SeededSplits::None {
            return Ok(0);
        }
        let catalog = &old.manifest.catalog;
        let kept = KeptEvents::of(new, self.splits);
        // Other splits may have been seeded then.
        let mut batches = Batches::of(old, SeededSplits::All);
        let mut n = 0;
        while let Some(mut batch) = batches.next_batch() {
            for (user, events) in &mut batch {
                let of_user = kept.of_user(user);
                events.retain(|one| {
                    !of_user.contains(&(one.item.as_str(), one.at_ms))
                });
            }
            batch.retain(|(_, events)| !events.is_empty());
            if !batch.is_empty() {
                n += self.keeper.forget(catalog, batch).await?;
            }
        }
        Ok(n)
    }
}

/// The seeded events of a data set, user by user.
struct KeptEvents<'a> {
    dataset: &'a Dataset,
    splits: SeededSplits,
}

impl<'a> KeptEvents<'a> {
    fn of(dataset: &'a Dataset, splits: SeededSplits) -> Self {
        Self { dataset, splits }
    }

    /// Item and time of each of a user's events.
    fn of_user(&self, user: &UserId) -> HashSet<(&'a str, i64)> {
        let mut events = HashSet::new();
        let Ok(user) = self.dataset.users.binary_search(user) else {
            return events;
        };
        let rows = &self.dataset.interactions;
        // Rows are ordered by user.
        let first = rows.users.partition_point(|&row| (row as usize) < user);
        for row in first..rows.users.len() {
            if rows.users[row] as usize != user {
                break;
            }
            if self.splits.contains(rows.splits[row]) {
                let item = &self.dataset.items[rows.items[row] as usize];
                events.insert((item.id.as_str(), rows.at_ms[row]));
            }
        }
        events
    }
}

/// A data set's interactions by user, a bounded part at a time.
struct Batches<'a> {
    dataset: &'a Dataset,
    splits: SeededSplits,
    next_row: usize,
}

/// Interactions in one write.
const EVENTS_A_WRITE: usize = 5_000;

impl<'a> Batches<'a> {
    fn of(dataset: &'a Dataset, splits: SeededSplits) -> Self {
        Self {
            dataset,
            splits,
            next_row: 0,
        }
    }

    /// The next rows, or none when all have been given.
    fn next_batch(&mut self) -> Option<Batch> {
        let rows = &self.dataset.interactions;
        let mut batch: Batch = Vec::new();
        let mut n_events = 0;
        while self.next_row < rows.users.len() && n_events < EVENTS_A_WRITE {
            let row = self.next_row;
            self.next_row += 1;
            if !self.splits.contains(rows.splits[row]) {
                continue;
            }

            n_events += 1;
            let user = &self.dataset.users[rows.users[row] as usize];
            let item = &self.dataset.items[rows.items[row] as usize];
            let event = Interaction {
                item: item.id.clone(),
                at_ms: rows.at_ms[row],
                event: None,
            };
            match batch.last_mut() {
                Some((last, events)) if last == user => events.push(event),
                _ => batch.push((user.clone(), vec![event])),
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}
