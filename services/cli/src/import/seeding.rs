//! Who writes histories down: the store itself, or a running scorer that holds
//! it.

use anyhow::Context;
use clap::ValueEnum;
use domain::Catalog;
use ingestion::{Batch, HistoryKeeper, KeeperError, SeededSplits, Seeding};
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use service::client::{Connection, connect};
use storage::Storage;

use crate::settings::Settings;

/// Which splits become histories.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeedHistories {
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

impl From<SeedHistories> for SeededSplits {
    fn from(wanted: SeedHistories) -> Self {
        match wanted {
            SeedHistories::None => Self::None,
            SeedHistories::Train => Self::Train,
            SeedHistories::TrainValid => Self::TrainValid,
            SeedHistories::All => Self::All,
        }
    }
}

/// Who writes the histories down.
pub(crate) enum Keeper {
    /// Nobody: no split is wanted.
    Nobody,
    /// The store, which this process has open.
    Store(Box<Storage>),
    /// A running scorer, where `cllm4rec up` holds the embedded store.
    Scorer(HistoryServiceClient<Connection>),
}

/// Opens the store, or connects to the scorer that has it open.
pub(crate) async fn open(
    settings: &Settings,
    splits: SeededSplits,
) -> anyhow::Result<Seeding<Keeper>> {
    let keeper = match splits {
        SeededSplits::None => Keeper::Nobody,
        SeededSplits::Train | SeededSplits::TrainValid | SeededSplits::All => {
            Keeper::open(settings).await?
        }
    };
    Ok(Seeding { splits, keeper })
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
}

impl HistoryKeeper for Keeper {
    async fn forget(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> Result<usize, KeeperError> {
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

    async fn record(
        &mut self,
        catalog: &Catalog,
        batch: Batch,
    ) -> Result<usize, KeeperError> {
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

fn on_the_wire(batch: &Batch) -> Vec<pb::Interaction> {
    let mut interactions = Vec::new();
    for (user, events) in batch {
        for event in events {
            interactions.push(pb::Interaction::of(user, event));
        }
    }
    interactions
}
