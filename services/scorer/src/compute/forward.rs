//! The way to the model thread, which is the only place in the scorer where the
//! backbone computes. What could not be done before its deadline is refused at
//! once, by the thread's pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Backbone, ScoringTables, Token, UserState};
use tokio::sync::oneshot;

use crate::admission::caller::Caller;
use crate::admission::pace::Pace;
use crate::admission::queue::{Queue, QueueOwner};
use crate::compute::model_thread::{
    BatchLimits, ExplanationWork, ForwardWork, ModelThread, StateWork,
    explanation_cost,
};
use crate::error::Error;
use crate::settings::Settings;

/// A batch that takes longer than this has a thread that is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The way to a version's thread; the thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    queue: QueueOwner<ForwardWork>,
    pace: Arc<Pace>,
    max_batch_tokens: usize,
    max_queue_tokens: usize,
}

impl Forward {
    /// Starts the thread. Its pace is unknown until it has computed something.
    pub(crate) fn start(
        backbone: Backbone,
        scoring: Arc<ScoringTables>,
        settings: &Settings,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let pace = Arc::new(Pace::default());
        let limits = BatchLimits {
            max_tokens: settings.max_batch_tokens.max(1),
            linger: Duration::from_millis(settings.max_wait_ms),
        };
        let thread = ModelThread {
            backbone,
            scoring,
            pace: Arc::clone(&pace),
            queue: Arc::clone(&queue),
            limits,
        };
        std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || thread.run())?;
        Ok(Self {
            queue: QueueOwner::new(queue),
            pace,
            max_batch_tokens: limits.max_tokens,
            max_queue_tokens: settings.max_queue_tokens,
        })
    }

    /// True when the thread has ended, which a panic in it does.
    pub(crate) fn has_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// True when the batch at hand takes far too long.
    pub(crate) fn is_stuck(&self) -> bool {
        self.pace.measured().at_work_for() > STUCK_AFTER
    }

    /// The state of a prompt; refused at once when it could not be there before
    /// the deadline.
    pub(crate) async fn state(
        &self,
        prompt: Vec<Token>,
        caller: &Caller,
    ) -> Result<UserState, Error> {
        let (answer, state) = oneshot::channel();
        let cost = prompt.len();
        let work = ForwardWork::State(StateWork {
            prompt,
            by: caller.by,
            answer,
        });
        self.push(cost, work, caller)?;
        state.await.map_err(|_| Error::ModelStopped)?
    }

    /// What each position of a prompt adds to the scores of some items
    /// `[items][prompt]`.
    pub(crate) async fn explanation(
        &self,
        prompt: Vec<Token>,
        items: Vec<u32>,
        caller: &Caller,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (answer, explanation) = oneshot::channel();
        let cost = explanation_cost(&prompt, items.len());
        let work = ForwardWork::Explanation(ExplanationWork {
            prompt,
            items,
            by: caller.by,
            answer,
        });
        self.push(cost, work, caller)?;
        explanation.await.map_err(|_| Error::ModelStopped)?
    }

    /// Whether work of some cost (a state: tokens of its prompt) could be done
    /// before the deadline.
    ///
    /// # Errors
    /// `Overloaded` when not, with a hint when to come back.
    pub(crate) fn admits(
        &self,
        cost: usize,
        caller: &Caller,
    ) -> Result<(), Error> {
        let waiting = self.queue.costs(caller.priority);
        let measured = self.pace.measured();
        let left = caller.by.saturating_duration_since(Instant::now());
        // Half of the time for the batch at hand, half for the one that waits:
        // a queue that could only just be in time is not, as soon as one batch
        // is slow.
        let wait = measured.wait(waiting.ahead, cost, left / 2);
        let would_be_late =
            wait > left || measured.time(waiting.ahead) > left / 2;
        // What one pass holds is tried when there is nothing else to do: a pace
        // that is too low is corrected by work alone.
        let is_idle = waiting.all == 0 && measured.is_idle();
        let is_tried = is_idle && cost <= self.max_batch_tokens;
        let is_late = would_be_late && !is_tried;
        let is_full =
            waiting.all > 0 && waiting.all + cost > self.max_queue_tokens;
        let is_stuck = measured.at_work_for() > STUCK_AFTER;
        if is_full || is_late || is_stuck {
            return Err(Error::overloaded(wait));
        }
        Ok(())
    }

    fn push(
        &self,
        cost: usize,
        work: ForwardWork,
        caller: &Caller,
    ) -> Result<(), Error> {
        self.admits(cost, caller)?;
        self.queue
            .push(caller.priority, cost, work)
            .map_err(|_| Error::ModelStopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DEFAULTS;
    use domain::RandomBackbone;
    use model::{Device, Precision, Table, TokenTables};

    fn tiny() -> Forward {
        let settings: Settings =
            service::load("scorer", DEFAULTS, None).unwrap();
        let shape = RandomBackbone {
            n_embd: 8,
            n_layer: 1,
            n_head: 1,
            n_positions: 64,
            ..Default::default()
        };
        let rows = || Table::new(vec![0.5; 16], 8);
        let tables = Arc::new(TokenTables {
            users: rows(),
            items: rows(),
        });
        let backbone = Backbone::random(&shape, &Device::flex());
        Forward::start(
            backbone,
            Arc::new(ScoringTables::new(tables, Precision::F32)),
            &settings,
        )
        .unwrap()
    }

    fn caller(after: Duration) -> Caller {
        Caller {
            by: Instant::now() + after,
            ..Caller::nobody(Instant::now())
        }
    }

    #[tokio::test]
    async fn a_thread_that_was_once_slow_is_tried_again_when_it_is_idle() {
        let forward = tiny();
        forward.pace.learns(16, Duration::from_secs(100));
        assert!(
            forward
                .state(
                    vec![Token::Item(0); 16],
                    &caller(Duration::from_secs(20))
                )
                .await
                .is_ok()
        );
        assert!(
            forward.pace.measured().mean_time(16) < Duration::from_secs(20),
            "the pace is corrected"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_in_time_is_refused_while_the_thread_is_busy() {
        let forward = tiny();
        forward.pace.learns(16, Duration::from_secs(100));
        let pace = Arc::clone(&forward.pace);
        let waits = |seconds| caller(Duration::from_secs(seconds));
        let refused = pace.during(16, || {
            let push = |caller: Caller| {
                let (answer, _) = oneshot::channel();
                let work = StateWork {
                    prompt: vec![Token::Item(0)],
                    by: caller.by,
                    answer,
                };
                forward.push(16, ForwardWork::State(work), &caller)
            };
            [push(waits(150)), push(waits(600))]
        });
        assert!(
            matches!(refused.0, [Err(Error::Overloaded { .. }), Ok(())]),
            "{:?}",
            refused.0
        );
    }

    #[tokio::test]
    async fn a_thread_that_is_stuck_gets_nothing_more_however_long_somebody_would_wait()
     {
        let forward = tiny();
        assert!(!forward.is_stuck());
        forward
            .pace
            .began(Instant::now() - STUCK_AFTER - Duration::from_millis(1));
        assert!(forward.is_stuck());
        let refused = forward
            .state(vec![Token::Item(0)], &caller(Duration::from_secs(600)))
            .await;
        assert!(matches!(refused, Err(Error::Overloaded { .. })));
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_known_to_have_ended_and_nobody_waits_for_it()
     {
        let forward = tiny();
        let no_such_row = vec![Token::Item(u32::MAX)];
        let minute = || caller(Duration::from_secs(60));
        assert!(matches!(
            forward.state(no_such_row, &minute()).await,
            Err(Error::ModelStopped)
        ));
        assert!(matches!(
            forward.state(vec![Token::Item(0)], &minute()).await,
            Err(Error::ModelStopped)
        ));
        assert!(forward.has_stopped());
    }

    #[tokio::test]
    async fn an_explanation_that_takes_longer_than_its_caller_waits_is_not_begun()
     {
        let forward = tiny();
        forward.pace.learns(16, Duration::from_secs(1));
        let (prompt, items) = (
            vec![Token::Item(0); 16],
            (0..2).cycle().take(10).collect::<Vec<u32>>(),
        );
        let explain = async |seconds| {
            let caller = caller(Duration::from_secs(seconds));
            forward
                .explanation(prompt.clone(), items.clone(), &caller)
                .await
        };
        assert!(
            matches!(explain(10).await, Err(Error::Overloaded { .. })),
            "200 seconds at that pace"
        );
        let contributions = explain(600).await.unwrap();
        assert_eq!((contributions.len(), contributions[0].len()), (10, 16));
        assert_eq!(contributions[0], contributions[2], "item by item");
    }
}
