//! The model thread: prompts that wait together share one forward pass. The only place in the
//! scorer where the backbone computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Gpt2, ScoringTables, Token, UserState, recommender};
use tokio::sync::oneshot;

use crate::gate::Caller;
use crate::pace::{Measured, Pace};
use crate::queue::{Owner, Queue};
use crate::{Error, Settings};

/// Something to be computed.
#[derive(Debug)]
struct Work {
    by: Instant,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    State {
        prompt: Vec<Token>,
        answer: Answer,
    },
    Explanation {
        prompt: Vec<Token>,
        items: Vec<u32>,
        answer: Contributions,
    },
}

type Answer = oneshot::Sender<Result<UserState, Error>>;
/// `[items][prompt]`
type Contributions = oneshot::Sender<Result<Vec<Vec<f32>>, Error>>;

/// A state to be computed: its prompt, until when, for whom.
type State = (Vec<Token>, Instant, Answer);

/// So many tokens go through the backbone together whatever the deadlines say: products of few rows
/// are slow.
const FEWEST: usize = 256;
/// How much an explanation of one item costs, next to a state of the same prompt.
const EXPLANATION: usize = 20;
/// A batch that takes longer than this has a thread that is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The way to a model's thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    queue: Owner<Work>,
    pace: Arc<Pace>,
    max_batch_tokens: usize,
    max_queue_tokens: usize,
}

impl Forward {
    /// Starts the thread. Its pace is unknown until it has computed something.
    pub(crate) fn start(
        gpt2: Gpt2,
        catalogue: Arc<ScoringTables>,
        settings: &Settings,
    ) -> std::io::Result<Self> {
        let (queue, pace) = (Arc::new(Queue::default()), Arc::new(Pace::default()));
        let (waiting, thread_pace) = (Arc::clone(&queue), Arc::clone(&pace));
        let (most, linger) = (
            settings.max_batch_tokens.max(1),
            Duration::from_millis(settings.max_wait_ms),
        );
        let thread = std::thread::Builder::new().name("model".to_owned());
        thread.spawn(move || {
            // Whoever waits when this thread panics is told by the end of the channel.
            let _ended = Ended(Arc::clone(&waiting));
            while let Some(works) = waiting.take(most, linger, fits(thread_pace.measured())) {
                serve(&gpt2, &catalogue, works, &thread_pace);
            }
        })?;
        Ok(Self {
            queue: Owner(queue),
            pace,
            max_batch_tokens: most,
            max_queue_tokens: settings.max_queue_tokens,
        })
    }

    /// True when the thread has ended, which a panic in it does.
    pub(crate) fn has_stopped(&self) -> bool {
        self.queue.0.is_closed()
    }

    /// True when the batch at hand takes far too long.
    pub(crate) fn is_stuck(&self) -> bool {
        self.pace.measured().at_work_for() > STUCK_AFTER
    }

    /// The state of a prompt; refused at once when it could not be there before the deadline.
    pub(crate) async fn state(
        &self,
        prompt: Vec<Token>,
        caller: &Caller,
    ) -> Result<UserState, Error> {
        let (answer, state) = oneshot::channel();
        self.push(prompt.len(), Wanted::State { prompt, answer }, caller)?;
        state.await.map_err(|_| Error::ModelStopped)?
    }

    /// What each position of a prompt adds to the scores of some items `[items][prompt]`.
    pub(crate) async fn explanation(
        &self,
        (prompt, items): (Vec<Token>, Vec<u32>),
        caller: &Caller,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (answer, explanation) = oneshot::channel();
        let cost = explanation_cost(&prompt, &items);
        self.push(
            cost,
            Wanted::Explanation {
                prompt,
                items,
                answer,
            },
            caller,
        )?;
        explanation.await.map_err(|_| Error::ModelStopped)?
    }

    /// Whether work of some cost (a state: tokens of its prompt) could be done before the deadline.
    ///
    /// # Errors
    /// `Overloaded` when not, with a hint when to come back.
    pub(crate) fn admits(&self, cost: usize, caller: &Caller) -> Result<(), Error> {
        let (all, ahead) = self.queue.0.cost(caller.priority);
        let measured = self.pace.measured();
        let left = caller.by.saturating_duration_since(Instant::now());
        // Half of the time for the batch at hand, half for the one that waits: a queue that could
        // only just be in time is not, as soon as one batch is slow.
        let wait = measured.wait(ahead, cost, left / 2);
        // What one pass holds is tried when there is nothing else to do: a pace that is too low is
        // corrected by work alone.
        let is_idle = all == 0 && measured.is_idle() && cost <= self.max_batch_tokens;
        let is_late = !is_idle && (wait > left || measured.time(ahead) > left / 2);
        let is_full = all + cost > self.max_queue_tokens && all > 0;
        if is_full || is_late || measured.at_work_for() > STUCK_AFTER {
            return Err(Error::overloaded(wait));
        }
        Ok(())
    }

    fn push(&self, cost: usize, wanted: Wanted, caller: &Caller) -> Result<(), Error> {
        self.admits(cost, caller)?;
        self.queue
            .0
            .push(
                caller.priority,
                cost,
                Work {
                    by: caller.by,
                    wanted,
                },
            )
            .map_err(|_| Error::ModelStopped)
    }
}

/// Whether one more piece of work still lets a batch end before the deadlines of all that is in it:
/// all of them wait for the whole of it.
fn fits(measured: Measured) -> impl FnMut(usize, &Work) -> bool {
    let mut earliest = None::<Instant>;
    move |cost, work| {
        let by = earliest.map_or(work.by, |earliest| earliest.min(work.by));
        earliest = Some(by);
        cost <= FEWEST || Instant::now() + measured.time(cost) <= by
    }
}

fn explanation_cost(prompt: &[Token], items: &[u32]) -> usize {
    prompt.len() * items.len() * EXPLANATION
}

struct Ended(Arc<Queue<Work>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn serve(gpt2: &Gpt2, catalogue: &ScoringTables, works: Vec<Work>, pace: &Pace) {
    let mut states = Vec::with_capacity(works.len());
    for Work { by, wanted } in works {
        match wanted {
            // Nobody waits for it any more.
            Wanted::State { answer, .. } if answer.is_closed() => {}
            Wanted::State { prompt, answer } => states.push((prompt, by, answer)),
            Wanted::Explanation {
                prompt,
                items,
                answer,
            } => {
                explain(
                    gpt2,
                    catalogue.tables(),
                    (&prompt, &items),
                    (by, answer),
                    pace,
                );
            }
        }
    }
    compute(gpt2, catalogue, in_time(states, pace), pace);
}

/// What can be there in time at the usual pace; the others are told at once. When that would be
/// all, the pace may be wrong.
fn in_time(states: Vec<State>, pace: &Pace) -> Vec<State> {
    let n_tokens = states.iter().map(|(prompt, ..)| prompt.len()).sum();
    let takes = pace.measured().mean_time(n_tokens);
    let end = Instant::now() + takes;
    let (in_time, late): (Vec<_>, Vec<_>) = states.into_iter().partition(|(_, by, _)| *by >= end);
    if in_time.is_empty() {
        return late;
    }
    for (.., answer) in late {
        drop(answer.send(Err(Error::overloaded(takes))));
    }
    in_time
}

fn compute(gpt2: &Gpt2, catalogue: &ScoringTables, states: Vec<State>, pace: &Pace) {
    if states.is_empty() {
        return;
    }
    let tables = catalogue.tables();
    let (prompts, answers): (Vec<_>, Vec<_>) = states
        .into_iter()
        .map(|(prompt, _, answer)| (prompt, answer))
        .unzip();
    let n_tokens = prompts.iter().map(Vec::len).sum();
    let (states, took) = pace.during(n_tokens, || {
        recommender::user_states(gpt2, tables, &prompts)
    });
    tracing::debug!(n = prompts.len(), n_tokens, ?took, "user states computed");
    pace.learns(n_tokens, took);
    match states {
        Ok(states) => {
            for (state, answer) in states.chunks(tables.items.width()).zip(answers) {
                // The client may have gone meanwhile.
                drop(answer.send(Ok(catalogue.state(state))));
            }
        }
        Err(error) => {
            tracing::error!(
                error = service::chain(&error),
                n = prompts.len(),
                "user states cannot be computed"
            );
            answers
                .into_iter()
                .for_each(|answer| drop(answer.send(Err(Error::Broken))));
        }
    }
}

fn explain(
    gpt2: &Gpt2,
    tables: &model::TokenTables,
    (prompt, items): (&[Token], &[u32]),
    (by, answer): (Instant, Contributions),
    pace: &Pace,
) {
    let mut of_items = Vec::with_capacity(items.len());
    for item in items.chunks(1) {
        // Each takes as long as twenty states: when nobody waits any more, the next is not begun.
        if answer.is_closed() || Instant::now() > by {
            return;
        }
        let cost = explanation_cost(prompt, item);
        match pace
            .during(cost, || model::contributions(gpt2, tables, prompt, item))
            .0
        {
            Ok(mut contributions) => of_items.append(&mut contributions),
            Err(error) => {
                tracing::error!(error = service::chain(&error), "scores cannot be explained");
                drop(answer.send(Err(Error::Broken)));
                return;
            }
        }
    }
    drop(answer.send(Ok(of_items)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RandomBackbone;
    use model::{Device, Precision, Table, TokenTables, random_backbone};

    fn tiny() -> Forward {
        let settings: Settings = service::load("scorer", crate::DEFAULTS, None).unwrap();
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
        let gpt2 = random_backbone(&shape, &Device::flex()).1;
        Forward::start(
            gpt2,
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
                .state(vec![Token::Item(0); 16], &caller(Duration::from_secs(20)))
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
                forward.push(
                    16,
                    Wanted::State {
                        prompt: vec![Token::Item(0)],
                        answer,
                    },
                    &caller,
                )
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
    async fn a_thread_that_is_stuck_gets_nothing_more_however_long_somebody_would_wait() {
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
    async fn a_thread_that_panics_is_known_to_have_ended_and_nobody_waits_for_it() {
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
    async fn an_explanation_that_takes_longer_than_its_caller_waits_is_not_begun() {
        let forward = tiny();
        forward.pace.learns(16, Duration::from_secs(1));
        let (prompt, items) = (
            vec![Token::Item(0); 16],
            (0..2).cycle().take(10).collect::<Vec<u32>>(),
        );
        let explain = async |seconds| {
            forward
                .explanation(
                    (prompt.clone(), items.clone()),
                    &caller(Duration::from_secs(seconds)),
                )
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
