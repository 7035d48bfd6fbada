//! The ranking threads: user states that wait together share one product with
//! the catalogue, and each list is made where its scores are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ScoringTables, UserState};
use tokio::sync::oneshot;

use crate::admission::caller::Caller;
use crate::admission::queue::{Queue, QueueOwner};
use crate::error::Error;

/// States that may wait, those included whose clients have gone: a bound on
/// memory. A scorer at its limits has a few more than `max_running`.
const MOST_WAITING: usize = 1_024;

/// States in one product: with more, the scores no longer fit the caches.
const MOST_AT_ONCE: usize = 16;

/// Numbers in the item rows of a catalogue that is scored where the request is:
/// that takes a tenth of a millisecond, and so does waking a thread.
const SMALL: usize = 1 << 20;

/// The way to the ranking threads; they end when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Rankers {
    queue: Arc<QueueOwner<RankingWork>>,
}

#[derive(Debug)]
pub(crate) struct RankingRequest<'a> {
    pub(crate) scoring: &'a Arc<ScoringTables>,
    pub(crate) state: &'a UserState,
    pub(crate) caller: &'a Caller,
}

/// What is done with the scores of the catalogue `[items]`, on the ranking
/// thread.
type Then = Box<dyn FnOnce(&[f32]) + Send>;

/// A [`RankingRequest`] that waits for a ranking thread.
struct RankingWork {
    scoring: Arc<ScoringTables>,
    state: UserState,
    by: Instant,
    then: Then,
}

impl std::fmt::Debug for RankingWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RankingWork")
    }
}

impl Rankers {
    /// Starts as many threads, one at least.
    pub(crate) fn start(n_threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        for _ in 0..n_threads.max(1) {
            let waiting = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("ranking".to_owned())
                .spawn(move || rank_until_closed(&waiting))?;
        }
        Ok(Self {
            queue: Arc::new(QueueOwner::new(queue)),
        })
    }

    /// Scores a catalogue for a state and makes something of the scores
    /// `[items]`.
    pub(crate) async fn scored<T: Send + 'static>(
        &self,
        request: RankingRequest<'_>,
        make: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        if request.scoring.n_values() <= SMALL {
            let scores = request.scoring.scores(&[request.state]);
            return Ok(make(&scores));
        }
        self.queued(request, make).await
    }

    async fn queued<T: Send + 'static>(
        &self,
        request: RankingRequest<'_>,
        make: impl FnOnce(&[f32]) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let Caller { by, priority, .. } = *request.caller;
        if self.queue.costs(priority).all >= MOST_WAITING {
            let left = by.saturating_duration_since(Instant::now());
            return Err(Error::overloaded(left));
        }
        let (answer, made) = oneshot::channel();
        let then = Box::new(move |scores: &[f32]| {
            // The client may have gone meanwhile.
            if !answer.is_closed() {
                drop(answer.send(make(scores)));
            }
        });
        let work = RankingWork {
            scoring: Arc::clone(request.scoring),
            state: request.state.clone(),
            by,
            then,
        };
        let pushed = self.queue.push(priority, 1, work);
        pushed.map_err(|_| Error::Broken)?;
        made.await.map_err(|_| {
            if Instant::now() < by {
                Error::Broken
            } else {
                Error::TooLate
            }
        })
    }
}

fn rank_until_closed(queue: &Queue<RankingWork>) {
    while let Some(works) =
        queue.take(MOST_AT_ONCE, Duration::ZERO, |_, _| true)
    {
        // A panic is logged by its hook, and whoever waits is told by the end
        // of the channel.
        drop(catch_unwind(AssertUnwindSafe(|| rank(works))));
    }
}

/// One product for each run of states on the same catalogue. What is too late
/// already is left out.
fn rank(mut works: Vec<RankingWork>) {
    let now = Instant::now();
    works.retain(|work| now < work.by);
    let mut works = works.into_iter().peekable();
    while let Some(first) = works.next() {
        let scoring = Arc::clone(&first.scoring);
        let mut run = vec![first];
        while let Some(next) =
            works.next_if(|next| Arc::ptr_eq(&next.scoring, &scoring))
        {
            run.push(next);
        }
        rank_run(&scoring, run);
    }
}

fn rank_run(scoring: &ScoringTables, run: Vec<RankingWork>) {
    let states: Vec<&UserState> = run.iter().map(|work| &work.state).collect();
    let scores = scoring.scores(&states);
    let n_items = scoring.tables().items.n_rows();
    let scores = scores.chunks(n_items.max(1));
    for (work, scores) in run.into_iter().zip(scores) {
        (work.then)(scores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Precision, Table, TokenTables};

    fn scoring() -> Arc<ScoringTables> {
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

    fn request<'a>(
        scoring: &'a Arc<ScoringTables>,
        state: &'a UserState,
        caller: &'a Caller,
    ) -> RankingRequest<'a> {
        RankingRequest {
            scoring,
            state,
            caller,
        }
    }

    #[tokio::test]
    async fn states_that_wait_together_get_their_own_scores() {
        let (rankers, scoring) = (Rankers::start(2).unwrap(), scoring());
        let asked = (0..40).map(async |number| {
            let state = scoring.state(&[number as f32, 1.0]);
            let caller = caller(Duration::from_secs(60));
            let request = request(&scoring, &state, &caller);
            rankers.queued(request, <[f32]>::to_vec).await.unwrap()
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
    async fn late_work_is_left_out_a_panic_stops_nobody_else_and_a_full_queue_refuses()
     {
        let (rankers, scoring) = (Rankers::start(1).unwrap(), scoring());
        let state = scoring.state(&[1.0, 2.0]);
        let ask = async |after| {
            let caller = caller(after);
            let request = request(&scoring, &state, &caller);
            rankers.queued(request, <[f32]>::len).await
        };
        assert!(matches!(ask(Duration::ZERO).await, Err(Error::TooLate)));
        let minute = caller(Duration::from_secs(60));
        let broken = rankers
            .queued(request(&scoring, &state, &minute), |_| {
                panic!("on purpose")
            })
            .await;
        assert!(matches!(broken, Err::<(), _>(Error::Broken)));
        assert_eq!(ask(Duration::from_secs(60)).await.unwrap(), 3);

        let idle = Rankers {
            queue: Arc::new(QueueOwner::new(Arc::default())),
        };
        let fill = || RankingWork {
            scoring: Arc::clone(&scoring),
            state: state.clone(),
            by: minute.by,
            then: Box::new(|_| {}),
        };
        (0..MOST_WAITING)
            .for_each(|_| drop(idle.queue.push(minute.priority, 1, fill())));
        assert!(matches!(
            idle.queued(request(&scoring, &state, &minute), |_| ())
                .await,
            Err(Error::Overloaded { .. })
        ));
    }
}
