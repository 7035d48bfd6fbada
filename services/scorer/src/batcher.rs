//! The model thread: prompts that arrive together share one forward pass, and all user states of a batch one product
//! with the catalogue. The only place in the scorer that computes.

use std::time::{Duration, Instant};

use model::{Gpt2, Token, TokenTables, recommender};
use tokio::sync::{mpsc, oneshot};

use crate::{Error, Settings};

/// Where a user state comes from.
#[derive(Debug)]
pub(crate) enum StateSource {
    /// Computed before, `[embed]`.
    Known(Vec<f32>),
    /// To be computed from a prompt.
    Prompt(Vec<Token>),
}

/// A user state and its scores over the catalogue.
#[derive(Debug)]
pub(crate) struct Scored {
    /// `[embed]`.
    pub(crate) state: Vec<f32>,
    /// `[items]`.
    pub(crate) scores: Vec<f32>,
}

struct Waiting {
    source: StateSource,
    answer: oneshot::Sender<Scored>,
}

/// The way to a model's thread; the thread ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Batcher {
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    max_batch: usize,
    max_wait: Duration,
}

impl Batcher {
    /// Starts the thread.
    pub(crate) fn start(gpt2: Gpt2, tables: TokenTables, settings: &Settings) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(settings.max_queue.max(1));
        let limits =
            Limits { max_batch: settings.max_batch.max(1), max_wait: Duration::from_millis(settings.max_wait_ms) };
        let thread = std::thread::Builder::new().name("model".to_owned());
        thread.spawn(move || serve(waiting, &gpt2, &tables, limits))?;
        Ok(Self { queue })
    }

    /// True when the thread has ended, which a panic in it does.
    pub(crate) fn has_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// Scores the catalogue for one user state; refused at once when too much is waiting.
    pub(crate) async fn score(&self, source: StateSource) -> Result<Scored, Error> {
        let (answer, scored) = oneshot::channel();
        self.queue.try_send(Waiting { source, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::ModelStopped,
        })?;
        scored.await.map_err(|_| Error::ModelStopped)
    }
}

fn serve(mut waiting: mpsc::Receiver<Waiting>, gpt2: &Gpt2, tables: &TokenTables, limits: Limits) {
    let head = recommender::ItemHead::new(gpt2, &tables.items);
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = collect(first, &mut waiting, limits);
        batch.retain(|one| !one.answer.is_closed()); // nobody waits for it any more
        if batch.is_empty() {
            continue;
        }
        let states = match states(gpt2, tables, &batch) {
            Ok(states) => states,
            Err(error) => {
                tracing::error!(error = service::chain(&error), n = batch.len(), "user states cannot be computed");
                continue; // whoever waits is told by the channel's end
            }
        };
        let scores = head.scores(&states.concat());
        for ((one, state), scores) in batch.into_iter().zip(states).zip(scores.chunks(head.n_items())) {
            // The client may have gone meanwhile.
            drop(one.answer.send(Scored { state, scores: scores.to_vec() }));
        }
    }
}

/// What has arrived, and what arrives within the wait; a full batch does not wait.
fn collect(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>, limits: Limits) -> Vec<Waiting> {
    let until = Instant::now() + limits.max_wait;
    let mut batch = vec![first];
    while batch.len() < limits.max_batch {
        match waiting.try_recv() {
            Ok(next) => batch.push(next),
            Err(mpsc::error::TryRecvError::Disconnected) => break,
            // Known states alone are cheap: waiting would cost them more than it saves.
            Err(_) if batch.iter().all(|one| matches!(one.source, StateSource::Known(_))) => break,
            Err(_) if Instant::now() >= until => break,
            Err(_) => std::thread::yield_now(),
        }
    }
    batch
}

/// One state for each of the batch, `[embed]` each.
fn states(gpt2: &Gpt2, tables: &TokenTables, batch: &[Waiting]) -> Result<Vec<Vec<f32>>, model::Error> {
    let prompts: Vec<Vec<Token>> = batch
        .iter()
        .filter_map(|one| match &one.source {
            StateSource::Prompt(prompt) => Some(prompt.clone()),
            StateSource::Known(_) => None,
        })
        .collect();
    let computed = recommender::user_states(gpt2, tables, &prompts)?;
    let mut computed = computed.chunks(tables.items.width());
    let state = |one: &Waiting| match &one.source {
        StateSource::Known(state) => state.clone(),
        StateSource::Prompt(_) => computed.next().unwrap_or_default().to_vec(),
    };
    Ok(batch.iter().map(state).collect())
}
