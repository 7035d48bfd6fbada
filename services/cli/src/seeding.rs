//! Histories from a data set: straight into the store, or through a running scorer that holds it.

use ::dataset::{Dataset, Split};
use anyhow::Context;
use clap::ValueEnum;
use domain::{Interaction, UserId};
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use service::client::{Connection, connect};
use storage::Storage;

use crate::Settings;

/// Which splits become histories.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Seed {
    /// None.
    None,
    /// What was learned from; for evaluation.
    Train,
    /// Everything but the test.
    #[value(name = "train,valid")]
    TrainValid,
}

/// Where histories are seeded.
pub(crate) enum Histories {
    /// Nowhere.
    None,
    /// Straight into the store.
    Store(Box<Storage>),
    /// Through a running scorer, where `cllm4rec up` holds the embedded store.
    Scorer(HistoryServiceClient<Connection>),
}

impl Histories {
    pub(crate) async fn open(settings: &Settings, seed: Seed) -> anyhow::Result<Self> {
        if seed == Seed::None {
            return Ok(Self::None);
        }
        match Storage::open(&settings.storage).await {
            Ok(storage) => Ok(Self::Store(Box::new(storage))),
            Err(storage::Error::InUse(_)) => {
                let mut scorer = HistoryServiceClient::new(connect(&settings.scorer)?);
                // One harmless call: is anybody there?
                let nobody = pb::GetHistoryRequest {
                    user_id: "-".to_owned(),
                    ..pb::GetHistoryRequest::default()
                };
                scorer
                    .get_history(nobody)
                    .await
                    .context("the embedded store is in use, and its scorer cannot be reached")?;
                Ok(Self::Scorer(scorer))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Records the interactions of the chosen splits; returns how many were new.
    pub(crate) async fn seed(mut self, dataset: &Dataset, seed: Seed) -> anyhow::Result<usize> {
        let catalog = &dataset.manifest.catalog;
        let mut n_new = 0;
        for batch in (Batches {
            dataset,
            seed,
            place: 0,
        }) {
            n_new += match &mut self {
                Self::None => 0,
                Self::Store(storage) => storage.histories.record_all(catalog, &batch).await?,
                Self::Scorer(scorer) => {
                    let events = batch
                        .iter()
                        .flat_map(|(user, events)| events.iter().map(move |event| (user, event)));
                    let interactions = events
                        .map(|(user, event)| pb::Interaction::of(user, event))
                        .collect();
                    let request = pb::RecordInteractionsRequest {
                        interactions,
                        catalog: catalog.to_string(),
                    };
                    scorer
                        .record_interactions(request)
                        .await?
                        .into_inner()
                        .n_recorded as usize
                }
            };
        }
        Ok(n_new)
    }
}

/// Seeds a store that is open already.
pub(crate) async fn seed_store(
    storage: Storage,
    dataset: &Dataset,
    seed: Seed,
) -> anyhow::Result<usize> {
    Histories::Store(Box::new(storage))
        .seed(dataset, seed)
        .await
}

/// A data set's interactions by user, a bounded part at a time.
struct Batches<'a> {
    dataset: &'a Dataset,
    seed: Seed,
    place: usize,
}

/// Interactions in one write.
const EVENTS_A_WRITE: usize = 5_000;

impl Iterator for Batches<'_> {
    type Item = Vec<(UserId, Vec<Interaction>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = &self.dataset.interactions;
        let (mut batch, mut n_events): (Self::Item, usize) = (Vec::new(), 0);
        while self.place < rows.users.len() && n_events < EVENTS_A_WRITE {
            let place = self.place;
            self.place += 1;
            let is_wanted = match rows.splits[place] {
                Split::Train => true,
                Split::Valid => self.seed == Seed::TrainValid,
                Split::Test => false,
            };
            if !is_wanted {
                continue;
            }
            let user = &self.dataset.users[rows.users[place] as usize];
            let item = self.dataset.items[rows.items[place] as usize].id.clone();
            let event = Interaction {
                item,
                at_ms: rows.at_ms[place],
                event: None,
            };
            n_events += 1;
            match batch.last_mut() {
                Some((last, events)) if last == user => events.push(event),
                _ => batch.push((user.clone(), vec![event])),
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}
