//! The model thread: prompts that wait together share one forward pass. The only place in the scorer where the backbone
//! computes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Catalogue, Gpt2, Token, UserState, recommender};
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
    State { prompt: Vec<Token>, answer: Answer },
    Explanation { prompt: Vec<Token>, items: Vec<u32>, answer: oneshot::Sender<Vec<Vec<f32>>> },
}

type Answer = oneshot::Sender<Result<UserState, Error>>;

/// So many tokens go through the backbone together whatever the deadlines say: products of few rows are slow.
const FEWEST: usize = 256;
/// How much an explanation of one item costs, next to a state of the same prompt.
const EXPLANATION: usize = 20;
/// The shortest time after which coming back makes sense.
const SHORTEST: Duration = Duration::from_millis(10);
/// A batch that takes longer than this has a thread that is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The way to a model's thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    queue: Owner<Work>,
    pace: Arc<Pace>,
    max_queue_tokens: usize,
}

impl Forward {
    /// Starts the thread; it computes one state first, so that its pace is known.
    pub(crate) fn start(gpt2: Gpt2, catalogue: Arc<Catalogue>, settings: &Settings) -> std::io::Result<Self> {
        let (queue, pace) = (Arc::new(Queue::default()), Arc::new(Pace::default()));
        let (waiting, thread_pace) = (Arc::clone(&queue), Arc::clone(&pace));
        let (most, linger) = (settings.max_batch_tokens.max(1), Duration::from_millis(settings.max_wait_ms));
        let thread = std::thread::Builder::new().name("model".to_owned());
        thread.spawn(move || {
            // Whoever waits when this thread panics is told by the end of the channel.
            let _ended = Ended(Arc::clone(&waiting));
            while let Some(works) = waiting.take(most, linger, fits(thread_pace.measured())) {
                serve(&gpt2, &catalogue, works, &thread_pace);
            }
        })?;
        Ok(Self { queue: Owner(queue), pace, max_queue_tokens: settings.max_queue_tokens })
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
    pub(crate) async fn state(&self, prompt: Vec<Token>, caller: &Caller) -> Result<UserState, Error> {
        let (answer, state) = oneshot::channel();
        self.push(prompt.len(), Work { by: caller.by, wanted: Wanted::State { prompt, answer } }, caller)?;
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
        let wanted = Wanted::Explanation { prompt, items, answer };
        self.push(cost, Work { by: caller.by, wanted }, caller)?;
        explanation.await.map_err(|_| Error::ModelStopped)
    }

    fn push(&self, cost: usize, work: Work, caller: &Caller) -> Result<(), Error> {
        let (all, ahead) = self.queue.0.cost(caller.priority);
        let measured = self.pace.measured();
        let left = work.by.saturating_duration_since(Instant::now());
        // Half of the time for the batch at hand, half for the one that waits: a queue that could only just be in time
        // is not, as soon as one batch is slow.
        let wait = measured.wait(ahead, cost, left / 2);
        let is_late = wait > left || measured.time(ahead) > left / 2;
        let is_full = all + cost > self.max_queue_tokens && all > 0;
        if is_full || is_late || measured.at_work_for() > STUCK_AFTER {
            return Err(Error::Overloaded { retry_after: wait.max(SHORTEST) });
        }
        self.queue.0.push(caller.priority, cost, work).map_err(|_| Error::ModelStopped)
    }
}

/// Whether one more piece of work still lets a batch end before the deadlines of all that is in it: all of them wait
/// for the whole of it.
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

fn serve(gpt2: &Gpt2, catalogue: &Catalogue, works: Vec<Work>, pace: &Pace) {
    let mut states = Vec::with_capacity(works.len());
    for Work { by, wanted } in works {
        match wanted {
            Wanted::State { prompt, answer } => states.push((prompt, by, answer)),
            Wanted::Explanation { prompt, items, answer } => {
                if !answer.is_closed() {
                    let cost = explanation_cost(&prompt, &items);
                    pace.during(cost, || explain(gpt2, catalogue.tables(), (&prompt, &items), answer));
                }
            }
        }
    }
    compute(gpt2, catalogue, in_time(states, pace), pace);
}

/// What somebody waits for and can be there in time, at the usual pace; the others are told at once.
fn in_time(states: Vec<(Vec<Token>, Instant, Answer)>, pace: &Pace) -> Vec<(Vec<Token>, Answer)> {
    let n_tokens = states.iter().map(|(prompt, ..)| prompt.len()).sum();
    let takes = pace.measured().mean_time(n_tokens);
    let end = Instant::now() + takes;
    let (in_time, late): (Vec<_>, Vec<_>) = states.into_iter().partition(|(_, by, _)| *by >= end);
    for (.., answer) in late {
        drop(answer.send(Err(Error::Overloaded { retry_after: takes.max(SHORTEST) })));
    }
    in_time.into_iter().map(|(prompt, _, answer)| (prompt, answer)).filter(|(_, answer)| !answer.is_closed()).collect()
}

fn compute(gpt2: &Gpt2, catalogue: &Catalogue, wanted: Vec<(Vec<Token>, Answer)>, pace: &Pace) {
    if wanted.is_empty() {
        return;
    }
    let (tables, (prompts, answers)) = (catalogue.tables(), wanted.into_iter().unzip::<_, _, Vec<_>, Vec<_>>());
    let n_tokens = prompts.iter().map(Vec::len).sum();
    let (states, took) = pace.during(n_tokens, || recommender::user_states(gpt2, tables, &prompts));
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
            tracing::error!(error = service::chain(&error), n = prompts.len(), "user states cannot be computed");
        }
    }
}

fn explain(
    gpt2: &Gpt2,
    tables: &model::TokenTables,
    (prompt, items): (&[Token], &[u32]),
    answer: oneshot::Sender<Vec<Vec<f32>>>,
) {
    match model::contributions(gpt2, tables, prompt, items) {
        Ok(contributions) => drop(answer.send(contributions)),
        Err(error) => tracing::error!(error = service::chain(&error), "scores cannot be explained"),
    }
}
