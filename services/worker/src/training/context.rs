//! What an epoch reads.

use model::{Ease, Objective};
use rand_chacha::ChaCha8Rng;

use crate::contract::plan::Epoch;
use crate::training::fit::Fit;

pub(super) struct Context<'a> {
    pub(super) fit: &'a Fit,
    /// The light model whose ranking finetuning learns beside the targets.
    pub(super) teacher: Option<&'a Ease>,
    pub(super) epoch: &'a Epoch,
    /// Epochs of the fit's plan.
    pub(super) n_epochs: usize,
}

impl Context<'_> {
    /// The objective with a softmax over some items, where the job wants that.
    pub(super) fn sampled(
        &self,
        objective: Objective,
        rng: &mut ChaCha8Rng,
    ) -> Objective {
        match self.fit.spec.n_sampled_items {
            0 => objective,
            n_sampled => objective.sampled(
                n_sampled,
                self.fit.corpus.histories.n_items,
                rng,
            ),
        }
    }

    /// The share of the job's epochs that is done after `step` of `n_steps`.
    pub(super) fn done(&self, step: usize, n_steps: usize) -> f64 {
        let of_epoch = step as f64 / n_steps.max(1) as f64;
        let n_done = self.epoch.number as f64 + of_epoch;
        self.fit.done(n_done / self.n_epochs as f64)
    }
}
