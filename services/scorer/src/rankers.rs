//! The ranking threads: user states that wait together share one product with the catalogue, and each list is made where
//! its scores are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use domain::Priority;
use model::{Catalogue, UserState};

use crate::Error;
use crate::queue::{Owner, Queue};

/// What is done with the scores of the catalogue `[items]`, on the ranking thread.
type Then = Box<dyn FnOnce(&[f32]) + Send>;

struct Work {
    catalogue: Arc<Catalogue>,
    state: UserState,
    then: Then,
}

/// States in one product: with more, the scores no longer fit the caches.
const MOST: usize = 16;

/// Entries of a catalogue that is scored where the request is: a tenth of a millisecond, and waking a thread for it takes
/// as long.
const SMALL: usize = 1 << 20;

/// The way to the ranking threads; they end when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Rankers(Arc<Owner<Work>>);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Rankers {
    /// Starts as many threads.
    pub(crate) fn start(n_threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::<Work>::default());
        for _ in 0..n_threads.max(1) {
            let waiting = Arc::clone(&queue);
            std::thread::Builder::new().name("ranking".to_owned()).spawn(move || {
                while let Some(works) = waiting.take(MOST, Duration::ZERO, |_, _| true) {
                    // A panic is logged by its hook, and whoever waits is told by the end of the channel.
                    drop(catch_unwind(AssertUnwindSafe(|| rank(works))));
                }
            })?;
        }
        Ok(Self(Arc::new(Owner(queue))))
    }

    /// Scores a catalogue for a state and makes something of the scores.
    pub(crate) async fn scored<T: Send + 'static>(
        &self,
        (catalogue, state): (&Arc<Catalogue>, &UserState),
        priority: Priority,
        make: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        if catalogue.n_values() <= SMALL {
            return Ok(make(&catalogue.scores(&[state])));
        }
        let (answer, made) = tokio::sync::oneshot::channel();
        let then = Box::new(move |scores: &[f32]| {
            if !answer.is_closed() {
                // The client may have gone meanwhile.
                drop(answer.send(make(scores)));
            }
        });
        let work = Work { catalogue: Arc::clone(catalogue), state: state.clone(), then };
        self.0.0.push(priority, 1, work).map_err(|_| Error::ModelStopped)?;
        made.await.map_err(|_| Error::ModelStopped)
    }
}

/// One product for each run of states on the same catalogue.
fn rank(works: Vec<Work>) {
    let mut works = works.into_iter().peekable();
    while let Some(first) = works.next() {
        let catalogue = Arc::clone(&first.catalogue);
        let mut run = vec![first];
        while let Some(next) = works.next_if(|next| Arc::ptr_eq(&next.catalogue, &catalogue)) {
            run.push(next);
        }
        let scores = catalogue.scores(&run.iter().map(|work| &work.state).collect::<Vec<_>>());
        for (work, scores) in run.into_iter().zip(scores.chunks(catalogue.tables().items.n_rows().max(1))) {
            (work.then)(scores);
        }
    }
}
