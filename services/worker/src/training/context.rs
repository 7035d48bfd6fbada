//! What an epoch reads.

use domain::TrainSpec;
use model::{Ease, Objective};
use rand_chacha::ChaCha8Rng;

use crate::contract::plan::Epoch;
use crate::material::corpus::Corpus;

pub(super) struct Context<'a> {
    pub(super) spec: &'a TrainSpec,
    pub(super) corpus: &'a Corpus,
    /// The light model whose ranking finetuning learns beside the targets.
    pub(super) teacher: Option<&'a Ease>,
    pub(super) epoch: &'a Epoch,
    /// Epochs of the whole plan.
    pub(super) n_epochs: usize,
}

impl Context<'_> {
    /// The objective with a softmax over some items, where the job wants that.
    pub(super) fn sampled(
        &self,
        objective: Objective,
        rng: &mut ChaCha8Rng,
    ) -> Objective {
        match self.spec.n_sampled_items {
            0 => objective,
            n_sampled => objective.sampled(n_sampled, self.corpus.n_items, rng),
        }
    }

    /// The share of the plan that is done after `step` of `n_steps`.
    pub(super) fn done(&self, step: usize, n_steps: usize) -> f64 {
        let of_epoch = step as f64 / n_steps.max(1) as f64;
        (self.epoch.number as f64 + of_epoch) / self.n_epochs as f64
    }
}
