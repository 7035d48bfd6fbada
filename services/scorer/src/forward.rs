//! The model thread: prompts that wait together share one forward pass. The only place in the scorer where the backbone
//! computes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;
use model::{Gpt2, Token, TokenTables, recommender};
use tokio::sync::oneshot;

use crate::queue::{Owner, Queue};
use crate::{Error, Settings};

/// A user state, `[embed]`.
pub(crate) type State = Arc<[f32]>;

/// What is computed.
#[derive(Debug)]
enum Work {
    State { prompt: Vec<Token>, answer: oneshot::Sender<State> },
    Explanation { prompt: Vec<Token>, items: Vec<u32>, answer: oneshot::Sender<Vec<Vec<f32>>> },
}

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
    fn begins(&self, n_tokens: usize) {
        self.lock().at_work = Some((Instant::now(), n_tokens));
    }

    fn ends(&self) {
        let mut measured = self.lock();
        let Some((since, n_tokens)) = measured.at_work.take() else { return };
        let latest = n_tokens as f64 / since.elapsed().as_secs_f64().max(1e-6);
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
    /// Tokens of the batch at hand, and for how long it has been.
    fn at_work(&self) -> (usize, Duration) {
        self.at_work.map_or((0, Duration::ZERO), |(since, n_tokens)| (n_tokens, since.elapsed()))
    }
}

impl Forward {
    /// Starts the thread; it computes one state first, so that its pace is known.
    pub(crate) fn start(gpt2: Gpt2, tables: Arc<TokenTables>, settings: &Settings) -> std::io::Result<Self> {
        let (queue, pace) = (Arc::new(Queue::default()), Arc::new(Pace::default()));
        let (waiting, thread_pace) = (Arc::clone(&queue), Arc::clone(&pace));
        let (most, linger) = (settings.max_batch_tokens.max(1), Duration::from_millis(settings.max_wait_ms));
        let thread = std::thread::Builder::new().name("model".to_owned());
        thread.spawn(move || {
            // Whoever waits when this thread panics is told by the end of the channel.
            let _ended = Ended(Arc::clone(&waiting));
            while let Some(works) = waiting.take(most, linger) {
                serve(&gpt2, &tables, works, &thread_pace);
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
    pub(crate) async fn state(&self, prompt: Vec<Token>, by: Instant, priority: Priority) -> Result<State, Error> {
        let (answer, state) = oneshot::channel();
        self.push(prompt.len(), Work::State { prompt, answer }, by, priority)?;
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
        let cost = prompt.len() * items.len() * EXPLANATION;
        self.push(cost, Work::Explanation { prompt, items, answer }, by, priority)?;
        explanation.await.map_err(|_| Error::ModelStopped)
    }

    fn push(&self, cost: usize, work: Work, by: Instant, priority: Priority) -> Result<(), Error> {
        let (all, ahead) = self.queue.0.cost(priority);
        let measured = self.pace.measured();
        let ((at_work, since), pace) = (measured.at_work(), measured.tokens_per_second);
        let seconds = if pace > 0.0 { (ahead + at_work + cost) as f64 / pace } else { 0.0 };
        let wait = Duration::from_secs_f64(seconds).saturating_sub(since);
        let is_full = all + cost > self.max_queue_tokens && all > 0;
        if is_full || since > STUCK_AFTER || Instant::now() + wait > by {
            return Err(Error::Overloaded { retry_after: wait.max(Duration::from_millis(10)) });
        }
        self.queue.0.push(priority, cost, work).map_err(|_| Error::ModelStopped)
    }
}

struct Ended(Arc<Queue<Work>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn serve(gpt2: &Gpt2, tables: &TokenTables, works: Vec<Work>, pace: &Pace) {
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for work in works {
        match work {
            // Nobody waits for it any more.
            Work::State { answer, .. } if answer.is_closed() => {}
            Work::State { prompt, answer } => {
                prompts.push(prompt);
                answers.push(answer);
            }
            Work::Explanation { prompt, items, answer } => {
                if !answer.is_closed() {
                    explain(gpt2, tables, (&prompt, &items), answer);
                }
            }
        }
    }
    if prompts.is_empty() {
        return;
    }
    pace.begins(prompts.iter().map(Vec::len).sum());
    let states = recommender::user_states(gpt2, tables, &prompts);
    pace.ends();
    match states {
        Ok(states) => {
            for (state, answer) in states.chunks(tables.items.width()).zip(answers) {
                // The client may have gone meanwhile.
                drop(answer.send(state.into()));
            }
        }
        Err(error) => {
            tracing::error!(error = service::chain(&error), n = prompts.len(), "user states cannot be computed");
        }
    }
}

fn explain(
    gpt2: &Gpt2,
    tables: &TokenTables,
    (prompt, items): (&[Token], &[u32]),
    answer: oneshot::Sender<Vec<Vec<f32>>>,
) {
    match model::contributions(gpt2, tables, prompt, items) {
        Ok(contributions) => drop(answer.send(contributions)),
        Err(error) => tracing::error!(error = service::chain(&error), "scores cannot be explained"),
    }
}
