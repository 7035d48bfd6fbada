//! The order of a job's epochs: content LM alone, both models alternating, then finetuning
//! (REFERENCE: schedule).

use std::collections::HashMap;

use domain::{Backbone, Part, TrainSpec};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What an epoch trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The random backbone itself.
    Warmup,
    /// The content LM's tables.
    Content,
    /// The collaborative LM's tables.
    Collaborative,
    /// The collaborative tables, for ranking.
    Finetuning,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        Part::from(self).name()
    }
}

impl From<Stage> for Part {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Warmup => Self::Warmup,
            Stage::Content => Self::Content,
            Stage::Collaborative => Self::Collaborative,
            Stage::Finetuning => Self::Finetuning,
        }
    }
}

/// One pass over the data of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) stage: Stage,
    /// Place in the whole plan, from 0; seeds the epoch's randomness.
    pub(crate) number: usize,
    /// From 1, within the stage.
    pub(crate) of_stage: usize,
    /// Epochs of the stage.
    pub(crate) n_of_stage: usize,
    /// The content LM is pulled to the collaborative tables (not while it trains alone).
    pub(crate) is_pulled: bool,
    /// Ranking is measured afterwards, and training may end early.
    pub(crate) is_validated: bool,
}

/// All epochs of a job in order.
pub(crate) fn plan(spec: &TrainSpec) -> Vec<Epoch> {
    let mut stages: Vec<(Stage, bool, bool)> = Vec::new();
    if let Backbone::Random(shape) = &spec.backbone {
        stages.extend(std::iter::repeat_n(
            (Stage::Warmup, false, false),
            shape.warmup_epochs,
        ));
    }
    stages.extend(std::iter::repeat_n(
        (Stage::Content, false, false),
        spec.pretraining.content_epochs,
    ));
    for _ in 0..spec.pretraining.epochs {
        stages.push((Stage::Collaborative, true, false));
        if spec.pretraining.with_content {
            stages.push((Stage::Content, true, false));
        }
    }
    for epoch in 1..=spec.finetuning.epochs {
        if spec.finetuning.with_content {
            stages.push((Stage::Content, true, false));
        }
        let is_last = epoch == spec.finetuning.epochs;
        stages.push((
            Stage::Finetuning,
            true,
            is_last || epoch.is_multiple_of(spec.evaluation.every),
        ));
    }
    let mut n_of: HashMap<Stage, usize> = HashMap::new();
    stages
        .iter()
        .for_each(|(stage, ..)| *n_of.entry(*stage).or_default() += 1);
    let mut so_far = HashMap::new();
    stages
        .iter()
        .enumerate()
        .map(|(number, &(stage, is_pulled, is_validated))| {
            let of_stage = so_far.entry(stage).or_insert(0);
            *of_stage += 1;
            Epoch {
                stage,
                number,
                of_stage: *of_stage,
                n_of_stage: n_of[&stage],
                is_pulled,
                is_validated,
            }
        })
        .collect()
}

impl Epoch {
    /// The epoch's own randomness: a resumed job draws what an uninterrupted one would.
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
        let stages: Vec<&str> = plan.iter().map(|epoch| epoch.stage.name()).collect();
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
        let of = |stage| plan.iter().filter(|epoch| epoch.stage == stage).count();
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
            .map(|e| e.of_stage)
            .collect();
        assert_eq!(
            validated,
            [2, 3],
            "every second epoch, and the last one always"
        );
    }
}
