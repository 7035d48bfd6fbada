//! Work that takes a core for longer than the async threads may be held up.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::Error;

/// So much is done at once; what is begun goes on when its request has ended,
/// and keeps its place until then. Clones share the places.
#[derive(Debug, Clone)]
pub(crate) struct BoundedWork {
    places: Arc<Semaphore>,
}

impl BoundedWork {
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Waits for a place, and for the work on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Error::Broken)?;
        let work = tokio::task::spawn_blocking(move || {
            let _until_it_ends = place; // it does not end with the request
            work()
        });
        work.await.map_err(|_| Error::Broken)
    }
}
