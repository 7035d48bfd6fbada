//! The order of a job's epochs: content LM alone, both models alternating, then
//! finetuning (REFERENCE: schedule).

use std::collections::HashMap;

use domain::{Backbone, Stage, TrainSpec};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// One pass over the data of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) stage: Stage,
    /// Its number in the whole plan, from 0; seeds the epoch's randomness.
    pub(crate) number: usize,
    /// Its number within the stage, from 1.
    pub(crate) in_stage: usize,
    pub(crate) n_in_stage: usize,
    /// The tables are pulled to the other model's (not while the content LM
    /// trains alone).
    pub(crate) is_pulled: bool,
    /// Ranking is measured afterwards, and training may end early.
    pub(crate) is_validated: bool,
}

/// All epochs of a job in order.
pub(crate) fn plan(spec: &TrainSpec) -> Vec<Epoch> {
    let mut epochs = Vec::new();
    if let Backbone::Random(shape) = &spec.backbone {
        let warmup = Epoch::alone(Stage::Warmup);
        epochs.extend(std::iter::repeat_n(warmup, shape.warmup_epochs));
    }
    let content = Epoch::alone(Stage::Content);
    epochs.extend(std::iter::repeat_n(
        content,
        spec.pretraining.content_epochs,
    ));
    for _ in 0..spec.pretraining.epochs {
        epochs.push(Epoch::pulled(Stage::Collaborative));
        if spec.pretraining.with_content {
            epochs.push(Epoch::pulled(Stage::Content));
        }
    }
    for epoch in 1..=spec.finetuning.epochs {
        if spec.finetuning.with_content {
            epochs.push(Epoch::pulled(Stage::Content));
        }
        let is_last = epoch == spec.finetuning.epochs;
        epochs.push(Epoch {
            is_validated: is_last
                || epoch.is_multiple_of(spec.evaluation.every),
            ..Epoch::pulled(Stage::Finetuning)
        });
    }
    number_all(&mut epochs);
    epochs
}

/// Numbers the epochs, in the whole plan and within their stages.
fn number_all(epochs: &mut [Epoch]) {
    let mut so_far: HashMap<Stage, usize> = HashMap::new();
    for (number, epoch) in epochs.iter_mut().enumerate() {
        let n = so_far.entry(epoch.stage).or_default();
        *n += 1;
        epoch.number = number;
        epoch.in_stage = *n;
    }
    for epoch in epochs {
        epoch.n_in_stage = so_far[&epoch.stage];
    }
}

impl Epoch {
    /// An epoch that is not numbered yet, of a model that trains by itself.
    fn alone(stage: Stage) -> Self {
        Self {
            stage,
            number: 0,
            in_stage: 0,
            n_in_stage: 0,
            is_pulled: false,
            is_validated: false,
        }
    }

    /// The same, of a model that is pulled to the other one.
    fn pulled(stage: Stage) -> Self {
        Self {
            is_pulled: true,
            ..Self::alone(stage)
        }
    }

    /// The epoch's own randomness: a resumed job draws what an uninterrupted
    /// one would.
    pub(crate) fn rng(&self, seed: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(self.number as u64 + 1);
        rng
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Epochs};

    #[test]
    fn the_models_alternate_between_content_alone_and_finetuning() {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        (
            spec.pretraining.content_epochs,
            spec.pretraining.epochs,
            spec.finetuning.epochs,
        ) = (1, 2, 3);
        spec.evaluation.every = 2;
        let plan = plan(&spec);
        let stages: Vec<&str> =
            plan.iter().map(|epoch| epoch.stage.name()).collect();
        assert_eq!(
            stages,
            [
                "content",
                "collaborative",
                "content",
                "collaborative",
                "content",
                "finetuning",
                "finetuning",
                "finetuning"
            ]
        );
        assert!(!plan[0].is_pulled && plan[1].is_pulled && plan[2].is_pulled);
        let of =
            |stage| plan.iter().filter(|epoch| epoch.stage == stage).count();
        let counted = (
            of(Stage::Content),
            of(Stage::Collaborative),
            of(Stage::Finetuning),
        );
        let Epochs {
            content,
            collaborative,
            finetuning,
            ..
        } = spec.n_epochs();
        assert_eq!(
            counted,
            (content, collaborative, finetuning),
            "as costs are counted"
        );
        let validated: Vec<usize> = plan
            .iter()
            .filter(|e| e.is_validated)
            .map(|e| e.in_stage)
            .collect();
        assert_eq!(
            validated,
            [2, 3],
            "every second epoch, and the last one always"
        );
        assert_eq!(
            spec.n_validations(),
            1 + validated.len(),
            "and once before finetuning, as costs are counted"
        );
    }
}
