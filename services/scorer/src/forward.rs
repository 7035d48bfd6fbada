//! The model thread: prompts that wait together share one forward pass. The only place in the scorer where the backbone
//! computes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;
use model::{Catalogue, Gpt2, Token, UserState, recommender};
use tokio::sync::oneshot;

use crate::queue::{Owner, Queue};
use crate::{Error, Settings};

/// What is computed.
#[derive(Debug)]
enum Work {
    State { prompt: Vec<Token>, by: Instant, answer: oneshot::Sender<UserState> },
    Explanation { prompt: Vec<Token>, items: Vec<u32>, by: Instant, answer: oneshot::Sender<Vec<Vec<f32>>> },
}

impl Work {
    fn by(&self) -> Instant {
        match self {
            Self::State { by, .. } | Self::Explanation { by, .. } => *by,
        }
    }
}

/// So many tokens go through the backbone together whatever the deadlines say: products of few rows are slow.
const FEWEST: usize = 128;
/// What is said of a time to come, over what the pace says: it varies.
const CAUTION: f64 = 1.15;
/// How much an explanation of one item costs, next to a state of the same prompt.
const EXPLANATION: usize = 20;
/// A batch that takes longer than this has a thread that is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The way to a model's thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Forward {
    queue: Owner<Work>,
    pace: Arc<Pace>,
    max_queue_tokens: usize,
}

/// How fast the thread is, and what it is at.
#[derive(Debug, Default)]
struct Pace(Mutex<Measured>);

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// A running mean; 0 before the first batch.
    tokens_per_second: f64,
    /// Since when, and tokens of the batch.
    at_work: Option<(Instant, usize)>,
}

/// How much the latest batch counts in the running mean.
const LATEST: f64 = 0.2;

impl Pace {
    /// Does work of some cost, and lets others know that it is done.
    fn during<T>(&self, cost: usize, work: impl FnOnce() -> T) -> (T, Duration) {
        let since = Instant::now();
        self.lock().at_work = Some((since, cost));
        let done = work();
        self.lock().at_work = None;
        (done, since.elapsed())
    }

    /// Whether one more piece of work still lets a batch end before the deadlines of all that is in it: all of them wait
    /// for the whole of it.
    fn fits(&self) -> impl FnMut(usize, &Work) -> bool {
        let (measured, mut earliest) = (self.measured(), None::<Instant>);
        move |cost, work| {
            let by = earliest.map_or(work.by(), |earliest| earliest.min(work.by()));
            earliest = Some(by);
            cost <= FEWEST || Instant::now() + measured.time(cost) <= by
        }
    }

    fn learns(&self, n_tokens: usize, took: Duration) {
        let mut measured = self.lock();
        let latest = n_tokens as f64 / took.as_secs_f64().max(1e-6);
        let before = measured.tokens_per_second;
        measured.tokens_per_second = if before > 0.0 { before + LATEST * (latest - before) } else { latest };
    }

    fn measured(&self) -> Measured {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    /// How long work of some cost takes; no time before the first batch.
    fn time(&self, cost: usize) -> Duration {
        let pace = self.tokens_per_second;
        Duration::from_secs_f64(if pace > 0.0 { CAUTION * cost as f64 / pace } else { 0.0 })
    }

    /// Tokens of the batch at hand, and for how long it has been.
    fn at_work(&self) -> (usize, Duration) {
        self.at_work.map_or((0, Duration::ZERO), |(since, n_tokens)| (n_tokens, since.elapsed()))
    }
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
            while let Some(works) = waiting.take(most, linger, thread_pace.fits()) {
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
        self.pace.measured().at_work().1 > STUCK_AFTER
    }

    /// The state of a prompt; refused at once when it could not be there before the deadline.
    pub(crate) async fn state(&self, prompt: Vec<Token>, by: Instant, priority: Priority) -> Result<UserState, Error> {
        let (answer, state) = oneshot::channel();
        self.push(prompt.len(), Work::State { prompt, by, answer }, priority)?;
        state.await.map_err(|_| Error::ModelStopped)
    }

    /// What each position of a prompt adds to the scores of some items `[items][prompt]`.
    pub(crate) async fn explanation(
        &self,
        (prompt, items): (Vec<Token>, Vec<u32>),
        by: Instant,
        priority: Priority,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (answer, explanation) = oneshot::channel();
        let cost = explanation_cost(&prompt, &items);
        self.push(cost, Work::Explanation { prompt, items, by, answer }, priority)?;
        explanation.await.map_err(|_| Error::ModelStopped)
    }

    fn push(&self, cost: usize, work: Work, priority: Priority) -> Result<(), Error> {
        let (all, ahead) = self.queue.0.cost(priority);
        let measured = self.pace.measured();
        let (at_work, since) = measured.at_work();
        let wait = measured.time(at_work + ahead + cost).saturating_sub(since);
        let is_full = all + cost > self.max_queue_tokens && all > 0;
        if is_full || since > STUCK_AFTER || Instant::now() + wait > work.by() {
            return Err(Error::Overloaded { retry_after: wait.max(Duration::from_millis(10)) });
        }
        self.queue.0.push(priority, cost, work).map_err(|_| Error::ModelStopped)
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
    let tables = catalogue.tables();
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for work in works {
        match work {
            // Nobody waits for it any more.
            Work::State { answer, .. } if answer.is_closed() => {}
            Work::State { prompt, answer, .. } => {
                prompts.push(prompt);
                answers.push(answer);
            }
            Work::Explanation { prompt, items, answer, .. } => {
                if !answer.is_closed() {
                    let cost = explanation_cost(&prompt, &items);
                    pace.during(cost, || explain(gpt2, tables, (&prompt, &items), answer));
                }
            }
        }
    }
    if prompts.is_empty() {
        return;
    }
    let n_tokens = prompts.iter().map(Vec::len).sum();
    let (states, took) = pace.during(n_tokens, || recommender::user_states(gpt2, tables, &prompts));
    pace.learns(n_tokens, took);
    match states {
        Ok(states) => {
            for (state, answer) in states.chunks(tables.items.width()).zip(answers) {
                // The client may have gone meanwhile.
                drop(answer.send(catalogue.state(state)));
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
