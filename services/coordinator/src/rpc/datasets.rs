//! What clients ask about data sets.

use domain::{ArtifactId, Catalog, DatasetId};
use proto::{pb, timestamp};
use serde::Deserialize;
use storage::{Artifacts, Kind};
use tonic::{Request, Response, Status};

use crate::dataset::read;
use crate::error::Error;

/// Data sets in one answer.
const MOST_SHOWN: usize = 1_000;

/// Serves `DatasetService` to clients.
pub(crate) struct Datasets {
    pub(crate) artifacts: Artifacts,
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
}

impl Datasets {
    /// The data sets that were imported last, the latest first.
    async fn latest(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for id in self.artifacts.list(Kind::Dataset).await? {
            let put_ms = self.artifacts.put_ms(Kind::Dataset, &id).await?;
            found.push(Found { id, put_ms });
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.put_ms));
        found.truncate(MOST_SHOWN);
        Ok(found)
    }

    async fn described(&self, found: &Found) -> Result<pb::Dataset, Error> {
        let Found { id, put_ms } = found;
        let dataset = DatasetId::new(id.to_string()).map_err(Error::from)?;
        let counted: Counted = read(&self.artifacts, &dataset).await?;
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
