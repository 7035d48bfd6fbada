//! What an operator does now and then.

use proto::pb;
use storage::now_ms;
use tonic::{Request, Response, Status};

use crate::gc::collector::{Collection, Collector};

/// Things in one answer.
const MOST_SHOWN: usize = 5_000;

/// Serves `UpkeepService` to clients.
pub(crate) struct Upkeep {
    pub(crate) collector: Collector,
}

#[tonic::async_trait]
impl pb::upkeep_service_server::UpkeepService for Upkeep {
    async fn collect_garbage(
        &self,
        request: Request<pb::CollectGarbageRequest>,
    ) -> Result<Response<pb::CollectGarbageResponse>, Status> {
        let collection = if request.get_ref().dry_run {
            self.collector.look(now_ms()).await?
        } else {
            let collection = self.collector.collect(now_ms()).await?;
            collection.tell();
            collection
        };
        Ok(Response::new(encoded(collection)))
    }
}

fn encoded(collection: Collection) -> pb::CollectGarbageResponse {
    let n_bytes = collection.n_bytes();
    let mut unreadable = collection.unreadable;
    unreadable.truncate(MOST_SHOWN);
    let mut garbage = Vec::new();
    for found in collection.found.iter().take(MOST_SHOWN) {
        garbage.push(pb::Garbage {
            name: found.garbage.to_string(),
            n_bytes: found.n_bytes,
        });
    }
    pb::CollectGarbageResponse {
        garbage,
        n_garbage: collection.found.len() as u64,
        n_bytes,
        unreadable,
    }
}
