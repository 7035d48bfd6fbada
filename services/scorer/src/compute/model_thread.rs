//! The model thread: prompts that wait together share one forward pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Backbone, ScoringTables, Token, UserState, recommender};
use tokio::sync::oneshot;

use crate::admission::pace::{Measured, Pace};
use crate::admission::queue::Queue;
use crate::error::Error;

/// So many tokens go through the backbone together whatever the deadlines say:
/// products of few rows are slow.
const FEWEST: usize = 256;
/// How much an explanation of one item costs, next to a state of the same
/// prompt.
const EXPLANATION: usize = 20;

/// Something for the model thread to compute.
#[derive(Debug)]
pub(super) enum ForwardWork {
    State(StateWork),
    Explanation(ExplanationWork),
}

#[derive(Debug)]
pub(super) struct StateWork {
    pub(super) prompt: Vec<Token>,
    /// The time after which the answer is of no use.
    pub(super) by: Instant,
    pub(super) answer: oneshot::Sender<Result<UserState, Error>>,
}

/// Scores of some items to be explained.
#[derive(Debug)]
pub(super) struct ExplanationWork {
    pub(super) prompt: Vec<Token>,
    pub(super) items: Vec<u32>,
    /// The time after which the answer is of no use.
    pub(super) by: Instant,
    /// Takes what each position adds to the score of each item
    /// `[items][prompt]`.
    pub(super) answer: oneshot::Sender<Result<Vec<Vec<f32>>, Error>>,
}

/// How much goes through the backbone at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) max_tokens: usize,
    /// How long a prompt waits for others.
    pub(super) linger: Duration,
}

pub(super) struct ModelThread {
    pub(super) backbone: Backbone,
    pub(super) scoring: Arc<ScoringTables>,
    pub(super) pace: Arc<Pace>,
    pub(super) queue: Arc<Queue<ForwardWork>>,
    pub(super) limits: BatchLimits,
}

/// What an explanation of some items costs, in tokens.
pub(super) fn explanation_cost(prompt: &[Token], n_items: usize) -> usize {
    prompt.len() * n_items * EXPLANATION
}

impl ModelThread {
    /// Computes what comes until the queue is closed. Whoever waits when this
    /// panics is told by the end of their channel.
    pub(super) fn run(&self) {
        let BatchLimits { max_tokens, linger } = self.limits;
        let _abandoned_at_the_end = Abandoned { queue: &self.queue };
        loop {
            let fits = fits(self.pace.measured());
            let Some(works) = self.queue.take(max_tokens, linger, fits) else {
                return;
            };
            self.serve(works);
        }
    }

    fn serve(&self, works: Vec<ForwardWork>) {
        let mut states = Vec::with_capacity(works.len());
        for work in works {
            match work {
                // Nobody waits for it any more.
                ForwardWork::State(work) if work.answer.is_closed() => {}
                ForwardWork::State(work) => states.push(work),
                ForwardWork::Explanation(work) => self.explain(work),
            }
        }
        self.compute(self.in_time(states));
    }

    /// Those that can be there in time at the usual pace; the others are told
    /// at once. When that would be all of them, the pace may be wrong, and all
    /// are computed.
    fn in_time(&self, states: Vec<StateWork>) -> Vec<StateWork> {
        let takes = self.pace.measured().mean_time(n_tokens(&states));
        let end = Instant::now() + takes;
        let (in_time, late): (Vec<_>, Vec<_>) =
            states.into_iter().partition(|work| work.by >= end);
        if in_time.is_empty() {
            return late;
        }
        for work in late {
            drop(work.answer.send(Err(Error::overloaded(takes))));
        }
        in_time
    }

    fn compute(&self, works: Vec<StateWork>) {
        if works.is_empty() {
            return;
        }
        let tables = self.scoring.tables();
        let n_tokens = n_tokens(&works);
        let (prompts, answers): (Vec<_>, Vec<_>) = works
            .into_iter()
            .map(|work| (work.prompt, work.answer))
            .unzip();
        let (states, took) = self.pace.during(n_tokens, || {
            recommender::user_states(&self.backbone, tables, &prompts)
        });
        let n = prompts.len();
        tracing::debug!(n, n_tokens, ?took, "user states computed");
        self.pace.learns(n_tokens, took);
        let states = match states {
            Ok(states) => states,
            Err(error) => {
                let error = service::chain(&error);
                tracing::error!(error, n, "user states cannot be computed");
                for answer in answers {
                    drop(answer.send(Err(Error::Broken)));
                }
                return;
            }
        };
        let states = states.chunks(tables.items.width());
        for (state, answer) in states.zip(answers) {
            // The client may have gone meanwhile.
            drop(answer.send(Ok(self.scoring.state(state))));
        }
    }

    /// Explains the scores item by item, for as long as somebody waits.
    fn explain(&self, work: ExplanationWork) {
        let mut contributions = Vec::with_capacity(work.items.len());
        for &item in &work.items {
            // Each takes as long as twenty states: when nobody waits any more,
            // the next is not begun.
            if work.answer.is_closed() || Instant::now() > work.by {
                return;
            }
            match self.explain_one(&work.prompt, item) {
                Ok(mut one) => contributions.append(&mut one),
                Err(error) => {
                    let error = service::chain(&error);
                    tracing::error!(error, "scores cannot be explained");
                    drop(work.answer.send(Err(Error::Broken)));
                    return;
                }
            }
        }
        drop(work.answer.send(Ok(contributions)));
    }

    fn explain_one(
        &self,
        prompt: &[Token],
        item: u32,
    ) -> Result<Vec<Vec<f32>>, model::Error> {
        let tables = self.scoring.tables();
        let cost = explanation_cost(prompt, 1);
        let (contributions, _) = self.pace.during(cost, || {
            model::contributions(&self.backbone, tables, prompt, &[item])
        });
        contributions
    }
}

/// Whether one more piece of work still lets a batch end before the deadlines
/// of all that is in it: all of them wait for the whole of it.
fn fits(measured: Measured) -> impl FnMut(usize, &ForwardWork) -> bool {
    let mut earliest = None::<Instant>;
    move |cost, work| {
        let by = earliest.map_or(work.by(), |earliest| earliest.min(work.by()));
        earliest = Some(by);
        cost <= FEWEST || Instant::now() + measured.time(cost) <= by
    }
}

fn n_tokens(states: &[StateWork]) -> usize {
    states.iter().map(|work| work.prompt.len()).sum()
}

impl ForwardWork {
    fn by(&self) -> Instant {
        match self {
            Self::State(work) => work.by,
            Self::Explanation(work) => work.by,
        }
    }
}

/// Abandons the queue when the thread ends, also by a panic.
struct Abandoned<'a> {
    queue: &'a Queue<ForwardWork>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
