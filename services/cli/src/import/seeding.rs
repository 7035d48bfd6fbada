//! Histories from a data set: straight into the store, or through a running
//! scorer that holds it.

use std::collections::HashSet;

use anyhow::Context;
use clap::ValueEnum;
use dataset::{Dataset, Split};
use domain::{Catalog, Interaction, UserId};
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use service::client::{Connection, connect};
use storage::Storage;

use crate::settings::Settings;

/// Which splits become histories.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeededSplits {
    /// None: histories stay as they are.
    None,
    /// What was learned from; for evaluation.
    Train,
    /// Everything but the test.
    #[value(name = "train,valid")]
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

/// Interactions that are about to become histories, and where those are kept.
pub(crate) struct Seeding {
    splits: SeededSplits,
    keeper: Keeper,
}

/// Who writes the histories down.
enum Keeper {
    /// Nobody: no split is wanted.
    Nobody,
    /// The store, which this process has open.
    Store(Box<Storage>),
    /// A running scorer, where `cllm4rec up` holds the embedded store.
    Scorer(HistoryServiceClient<Connection>),
}

/// Interactions of some users, each user's together.
pub(crate) type Batch = Vec<(UserId, Vec<Interaction>)>;

impl Seeding {
    /// Opens the store, or connects to the scorer that has it open.
    pub(crate) async fn open(
        settings: &Settings,
        splits: SeededSplits,
    ) -> anyhow::Result<Self> {
        let keeper = match splits {
            SeededSplits::None => Keeper::Nobody,
            SeededSplits::Train
            | SeededSplits::TrainValid
            | SeededSplits::All => Keeper::open(settings).await?,
        };
        Ok(Self { splits, keeper })
    }

    /// Seeds a store that is open already.
    pub(crate) fn into_store(storage: Storage, splits: SeededSplits) -> Self {
        Self {
            splits,
            keeper: Keeper::Store(Box::new(storage)),
        }
    }

    /// Records the interactions of the chosen splits; returns how many were
    /// new. Where that fails, those that were new are taken back.
    pub(crate) async fn record(
        &mut self,
        dataset: &Dataset,
    ) -> anyhow::Result<usize> {
        if matches!(self.keeper, Keeper::Nobody) {
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
    pub(crate) async fn forget(
        &mut self,
        dataset: &Dataset,
    ) -> anyhow::Result<usize> {
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
    pub(crate) async fn forget_replaced(
        &mut self,
        old: &Dataset,
        new: &Dataset,
    ) -> anyhow::Result<usize> {
        if matches!(self.keeper, Keeper::Nobody) {
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

impl Keeper {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        match Storage::open(&settings.storage).await {
            Ok(storage) => Ok(Self::Store(Box::new(storage))),
            Err(storage::Error::InUse(_)) => Self::connect(settings).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Makes one harmless call, to learn whether a scorer is there at all.
    async fn connect(settings: &Settings) -> anyhow::Result<Self> {
        let mut scorer = HistoryServiceClient::new(connect(&settings.scorer)?);
        let nobody = pb::GetHistoryRequest {
            user_id: "-".to_owned(),
            ..pb::GetHistoryRequest::default()
        };
        scorer.get_history(nobody).await.context(
            "the embedded store is in use, and its scorer cannot be reached",
        )?;
        Ok(Self::Scorer(scorer))
    }

    /// Takes a batch back; returns how many of its interactions were there.
    async fn forget(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> anyhow::Result<usize> {
        match self {
            Self::Nobody => Ok(0),
            Self::Store(storage) => {
                Ok(storage.histories.forget_all(catalog, &batch).await?)
            }
            Self::Scorer(scorer) => {
                let request = pb::ForgetInteractionsRequest {
                    interactions: on_the_wire(&batch),
                    catalog: catalog.to_string(),
                };
                let answer =
                    scorer.forget_interactions(request).await?.into_inner();
                Ok(answer.n_forgotten as usize)
            }
        }
    }

    /// Writes a batch down; returns how many of its interactions were new.
    async fn record(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> anyhow::Result<usize> {
        match self {
            Self::Nobody => Ok(0),
            Self::Store(storage) => {
                Ok(storage.histories.record_all(catalog, &batch).await?)
            }
            Self::Scorer(scorer) => {
                let request = pb::RecordInteractionsRequest {
                    interactions: on_the_wire(&batch),
                    catalog: catalog.to_string(),
                };
                let answer =
                    scorer.record_interactions(request).await?.into_inner();
                Ok(answer.n_recorded as usize)
            }
        }
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

fn on_the_wire(batch: &Batch) -> Vec<pb::Interaction> {
    let mut interactions = Vec::new();
    for (user, events) in batch {
        for event in events {
            interactions.push(pb::Interaction::of(user, event));
        }
    }
    interactions
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
