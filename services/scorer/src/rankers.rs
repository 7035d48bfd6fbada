//! The ranking threads: user states that wait together share one product with the catalogue, and
//! each list is made where its scores are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ScoringTables, UserState};

use crate::Error;
use crate::gate::Caller;
use crate::queue::{Owner, Queue};

/// What is done with the scores of the catalogue `[items]`, on the ranking thread.
type Then = Box<dyn FnOnce(&[f32]) + Send>;

struct Work {
    catalogue: Arc<ScoringTables>,
    state: UserState,
    by: Instant,
    then: Then,
}

/// States that may wait, those included whose clients have gone: a bound on memory. A scorer at its
/// limits has a few more than `max_running`.
const MOST_WAITING: usize = 1_024;

/// States in one product: with more, the scores no longer fit the caches.
const MOST: usize = 16;

/// Entries of a catalogue that is scored where the request is: a tenth of a millisecond, and waking
/// a thread for it takes as long.
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
            std::thread::Builder::new()
                .name("ranking".to_owned())
                .spawn(move || {
                    while let Some(works) = waiting.take(MOST, Duration::ZERO, |_, _| true) {
                        // A panic is logged by its hook, and whoever waits is told by the end of
                        // the channel.
                        drop(catch_unwind(AssertUnwindSafe(|| rank(works))));
                    }
                })?;
        }
        Ok(Self(Arc::new(Owner(queue))))
    }

    /// Scores a catalogue for a state and makes something of the scores.
    pub(crate) async fn scored<T: Send + 'static>(
        &self,
        (catalogue, state): (&Arc<ScoringTables>, &UserState),
        caller: &Caller,
        make: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        if catalogue.n_values() <= SMALL {
            return Ok(make(&catalogue.scores(&[state])));
        }
        self.queued((catalogue, state), caller, make).await
    }

    async fn queued<T: Send + 'static>(
        &self,
        (catalogue, state): (&Arc<ScoringTables>, &UserState),
        caller: &Caller,
        make: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        if self.0.0.cost(caller.priority).0 >= MOST_WAITING {
            return Err(Error::overloaded(
                caller.by.saturating_duration_since(Instant::now()),
            ));
        }
        let (answer, made) = tokio::sync::oneshot::channel();
        let then = Box::new(move |scores: &[f32]| {
            if !answer.is_closed() {
                // The client may have gone meanwhile.
                drop(answer.send(make(scores)));
            }
        });
        let work = Work {
            catalogue: Arc::clone(catalogue),
            state: state.clone(),
            by: caller.by,
            then,
        };
        self.0
            .0
            .push(caller.priority, 1, work)
            .map_err(|_| Error::Broken)?;
        made.await.map_err(|_| {
            if Instant::now() < caller.by {
                Error::Broken
            } else {
                Error::TooLate
            }
        })
    }
}

/// One product for each run of states on the same catalogue. What is too late already is left out.
fn rank(mut works: Vec<Work>) {
    let now = Instant::now();
    works.retain(|work| now < work.by);
    let mut works = works.into_iter().peekable();
    while let Some(first) = works.next() {
        let catalogue = Arc::clone(&first.catalogue);
        let mut run = vec![first];
        while let Some(next) = works.next_if(|next| Arc::ptr_eq(&next.catalogue, &catalogue)) {
            run.push(next);
        }
        let scores = catalogue.scores(&run.iter().map(|work| &work.state).collect::<Vec<_>>());
        for (work, scores) in run
            .into_iter()
            .zip(scores.chunks(catalogue.tables().items.n_rows().max(1)))
        {
            (work.then)(scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Precision, Table, TokenTables};

    fn catalogue() -> Arc<ScoringTables> {
        let rows = || Table::new(vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0], 2);
        Arc::new(ScoringTables::new(
            Arc::new(TokenTables {
                users: rows(),
                items: rows(),
            }),
            Precision::F32,
        ))
    }

    fn caller(after: Duration) -> Caller {
        Caller::nobody(Instant::now() + after)
    }

    #[tokio::test]
    async fn states_that_wait_together_get_their_own_scores() {
        let (rankers, catalogue) = (Rankers::start(2).unwrap(), catalogue());
        let asked = (0..40).map(async |number| {
            let state = catalogue.state(&[number as f32, 1.0]);
            rankers
                .queued(
                    (&catalogue, &state),
                    &caller(Duration::from_secs(60)),
                    <[f32]>::to_vec,
                )
                .await
                .unwrap()
        });
        for (number, scores) in futures::future::join_all(asked)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(scores, [number as f32, 1.0, number as f32 + 1.0]);
        }
    }

    #[tokio::test]
    async fn late_work_is_left_out_a_panic_stops_nobody_else_and_a_full_queue_refuses() {
        let (rankers, catalogue) = (Rankers::start(1).unwrap(), catalogue());
        let state = catalogue.state(&[1.0, 2.0]);
        let ask = async |after| {
            rankers
                .queued((&catalogue, &state), &caller(after), <[f32]>::len)
                .await
        };
        assert!(matches!(ask(Duration::ZERO).await, Err(Error::TooLate)));
        let minute = caller(Duration::from_secs(60));
        let broken = rankers
            .queued((&catalogue, &state), &minute, |_| panic!("on purpose"))
            .await;
        assert!(matches!(broken, Err::<(), _>(Error::Broken)));
        assert_eq!(ask(Duration::from_secs(60)).await.unwrap(), 3);

        let idle = Rankers(Arc::new(Owner(Arc::default())));
        let fill = || Work {
            catalogue: Arc::clone(&catalogue),
            state: state.clone(),
            by: minute.by,
            then: Box::new(|_| {}),
        };
        (0..MOST_WAITING).for_each(|_| drop(idle.0.0.push(minute.priority, 1, fill())));
        assert!(matches!(
            idle.queued((&catalogue, &state), &minute, |_| ()).await,
            Err(Error::Overloaded { .. })
        ));
    }
}
