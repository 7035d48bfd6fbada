//! What clients ask about data sets.

use std::sync::Arc;
use std::time::Duration;

use dataset::ImportRecord;
use domain::{ArtifactId, Catalog, DatasetId};
use proto::{pb, timestamp};
use serde::Deserialize;
use storage::{Kind, Storage};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::about_dataset::read;
use crate::error::Error;
use crate::rpc::dataset_details::{dataset_of, details};
use crate::upload::Upload;

/// Data sets in one answer.
const MOST_SHOWN: usize = 1_000;

/// When a further file may find a place.
const RETRY: Duration = Duration::from_secs(10);
/// Files that are received and imported at a time: each takes memory.
const IMPORTS_AT_ONCE: usize = 2;

/// Serves `DatasetService` to clients.
pub(crate) struct Datasets {
    storage: Storage,
    /// Places of files that are received or imported.
    importing: Arc<Semaphore>,
    /// The turn of the one that is imported.
    one_by_one: Arc<Mutex<()>>,
    /// The imports that go on.
    imports: TaskTracker,
}

/// What a manifest counts.
#[derive(Debug, Deserialize)]
struct Counted {
    name: String,
    catalog: Catalog,
    n_users: u64,
    n_items: u64,
    n_train: u64,
    n_valid: u64,
    n_test: u64,
    #[serde(default)]
    n_texts: u64,
    #[serde(default)]
    n_titles: u64,
}

/// A data set, and when it was imported.
struct Found {
    id: ArtifactId,
    put_ms: Option<i64>,
}

#[tonic::async_trait]
impl pb::dataset_service_server::DatasetService for Datasets {
    async fn list_datasets(
        &self,
        _: Request<pb::ListDatasetsRequest>,
    ) -> Result<Response<pb::ListDatasetsResponse>, Status> {
        let mut answer = pb::ListDatasetsResponse::default();
        for found in self.latest().await? {
            match self.described(&found).await {
                Ok(dataset) => answer.datasets.push(dataset),
                // A damaged one hides no other.
                Err(error) => {
                    let (id, error) = (&found.id, service::chain(&error));
                    tracing::warn!(%id, error, "a data set cannot be read");
                    answer.unreadable.push(format!("datasets/{id}"));
                }
            }
        }
        Ok(Response::new(answer))
    }

    async fn get_dataset(
        &self,
        request: Request<pb::GetDatasetRequest>,
    ) -> Result<Response<pb::DatasetDetails>, Status> {
        let dataset = proto::dataset_id("name", &request.get_ref().name);
        let id = ArtifactId::from(&dataset.map_err(Error::from)?);
        let artifacts = &self.storage.artifacts;
        let put_ms = artifacts.put_ms(Kind::Dataset, &id).await;
        let put_ms = put_ms.map_err(Error::from)?;
        let found = Found { id, put_ms };
        let described = self.described(&found).await?;
        let record = self.record(&found.id).await;
        Ok(Response::new(details(described, record.as_ref())))
    }

    async fn import_dataset(
        &self,
        request: Request<Streaming<pb::ImportDatasetRequest>>,
    ) -> Result<Response<pb::ImportDatasetResponse>, Status> {
        let place = Arc::clone(&self.importing).try_acquire_owned();
        let Ok(place) = place else {
            return Err(proto::overloaded(
                "two files are being imported already",
                RETRY,
            ));
        };
        let upload = Upload::receive(request.into_inner()).await?;
        // Once begun it goes on to its end, whether the client waits or not.
        let storage = self.storage.clone();
        let one_by_one = Arc::clone(&self.one_by_one);
        let import = self.imports.spawn(async move {
            let _until_it_ends = place;
            // Two of one name would take each other's histories away.
            let _turn = one_by_one.lock().await;
            upload.import(storage).await
        });
        let imported = import.await.map_err(|error| {
            Status::internal(format!("the import ended: {error}"))
        })??;
        let mut record = ImportRecord::of(&imported.dataset, &imported.report);
        record.is_seeded = true;
        let Some(stored) = imported.stored else {
            let unnamed = dataset_of(&imported.dataset.manifest);
            return Ok(Response::new(pb::ImportDatasetResponse {
                details: Some(details(unnamed, Some(&record))),
                ..Default::default()
            }));
        };
        let found = Found {
            put_ms: Some(storage::now_ms()),
            id: stored.id,
        };
        let described = self.described(&found).await?;
        Ok(Response::new(pb::ImportDatasetResponse {
            details: Some(details(described, Some(&record))),
            n_seeded: stored.n_seeded as u64,
            n_replaced: stored.n_replaced as u64,
        }))
    }
}

impl Datasets {
    pub(crate) fn new(storage: Storage, imports: TaskTracker) -> Self {
        Self {
            storage,
            imports,
            one_by_one: Arc::default(),
            importing: Arc::new(Semaphore::new(IMPORTS_AT_ONCE)),
        }
    }

    /// What the import of a data set said; `None` where nobody knows.
    async fn record(&self, id: &ArtifactId) -> Option<ImportRecord> {
        let artifacts = &self.storage.artifacts;
        let note = artifacts.note(Kind::Dataset, id, ImportRecord::FILE).await;
        let unreadable = |error: &dyn std::error::Error| {
            let error = service::chain(error);
            tracing::warn!(%id, error, "what an import said cannot be read");
        };
        match note {
            Ok(note) => match serde_json::from_slice(&note?) {
                Ok(record) => Some(record),
                Err(error) => {
                    unreadable(&error);
                    None
                }
            },
            Err(error) => {
                unreadable(&error);
                None
            }
        }
    }

    /// The data sets that were imported last, the latest first.
    async fn latest(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for id in self.storage.artifacts.list(Kind::Dataset).await? {
            let put_ms =
                self.storage.artifacts.put_ms(Kind::Dataset, &id).await?;
            found.push(Found { id, put_ms });
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.put_ms));
        found.truncate(MOST_SHOWN);
        Ok(found)
    }

    async fn described(&self, found: &Found) -> Result<pb::Dataset, Error> {
        let Found { id, put_ms } = found;
        let dataset = DatasetId::new(id.to_string()).map_err(Error::from)?;
        let counted: Counted = read(&self.storage.artifacts, &dataset).await?;
        Ok(pb::Dataset {
            name: format!("datasets/{id}"),
            display_name: counted.name,
            catalog: counted.catalog.to_string(),
            import_time: put_ms.map(timestamp),
            n_users: counted.n_users,
            n_items: counted.n_items,
            n_train: counted.n_train,
            n_valid: counted.n_valid,
            n_test: counted.n_test,
            n_texts: counted.n_texts,
            n_titles: counted.n_titles,
        })
    }
}
