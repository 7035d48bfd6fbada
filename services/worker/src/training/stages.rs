//! One epoch of each stage: draw batches, compute the step, move the rows.

use domain::{Optimizer, Stage, TrainSpec};
use model::{Adam, Objective, Pull, collaborative, content, step};

use crate::contract::progress::Progress;
use crate::error::{Error, in_step};
use crate::training::context::Context;
use crate::training::finetuning;
use crate::training::learned::Learned;
use crate::training::warmup::warmup;

/// Runs one epoch: its stage's batches, each of them a step.
pub(super) fn run(
    context: &Context<'_>,
    learned: &mut Learned,
    progress: &mut Progress,
) -> Result<(), Error> {
    let (spec, corpus, stage) =
        (&context.fit.spec, &context.fit.corpus, context.epoch.stage);
    let mut rng = context.epoch.rng(spec.seed);
    progress.begins(stage.into());
    match stage {
        Stage::Warmup => warmup(context, learned, progress, &mut rng),
        Stage::Content => {
            let places = corpus.text_epoch(spec, &mut rng);
            let batches = places.chunks(spec.pretraining.batch);
            let objectives = batches.map(|batch| {
                let documents = corpus.documents_at(batch)?;
                Ok(content::objective(&documents))
            });
            learn(context, learned, progress, objectives)
        }
        Stage::Collaborative => {
            let histories = corpus.history_epoch(spec, &mut rng);
            let batches = histories.chunks(spec.pretraining.batch);
            let objectives = batches.map(|batch| {
                let documents = corpus.histories(batch);
                let objective = collaborative::objective(&documents);
                Ok(context.sampled(objective, &mut rng))
            });
            learn(context, learned, progress, objectives)
        }
        Stage::Finetuning => {
            let users = finetuning::epoch(corpus, &mut rng);
            let batches = users.chunks(spec.finetuning.batch);
            let objectives = batches.map(|batch| {
                let objective = finetuning::objective(context, batch, &mut rng);
                Ok(context.sampled(objective, &mut rng))
            });
            learn(context, learned, progress, objectives)
        }
    }
}

/// Steps over the objectives of a stage whose tables are learned; one is made
/// at a time.
fn learn(
    context: &Context<'_>,
    learned: &mut Learned,
    progress: &mut Progress,
    objectives: impl ExactSizeIterator<Item = Result<Objective, Error>>,
) -> Result<(), Error> {
    let (spec, epoch, n_steps) =
        (&context.fit.spec, context.epoch, objectives.len());
    if n_steps == 0 {
        return Ok(()); // a data set without texts has no content stage
    }
    progress.epoch_begins(epoch, n_steps);
    let backbone = learned.computing();
    let strength = Strength::of(epoch.stage, spec);
    let adam = Adam::new(strength.learning_rate);
    let tables = &mut learned.tables;
    let (own, other, moments) = match epoch.stage {
        Stage::Content => (
            &mut tables.content,
            &tables.collaborative,
            &mut learned.content,
        ),
        Stage::Warmup | Stage::Collaborative | Stage::Finetuning => (
            &mut tables.collaborative,
            &tables.content,
            &mut learned.collaborative,
        ),
    };
    let pull = epoch.is_pulled.then_some(Pull {
        toward: other,
        lambda: strength.lambda,
        prior: strength.prior,
    });
    for (number, objective) in objectives.enumerate() {
        progress.check()?;
        let objective = objective?;
        let step =
            step::compute(&backbone, own, pull, &objective).map_err(in_step)?;
        match spec.optimizer {
            Optimizer::Lazy => moments.update(&adam, own, &step),
            Optimizer::Dense => moments.update_dense(&adam, own, &step),
        }
        progress.has_room_for(backbone.budget().get());
        let done = context.done(number + 1, n_steps);
        progress.step(step.cross_entropy, step.n_tokens, done);
    }
    progress.epoch_ends(epoch);
    Ok(())
}

/// How far a stage's step goes.
struct Strength {
    learning_rate: f64,
    lambda: f64,
    /// The prior on the tables, λ_l; the content LM's have none.
    prior: f64,
}

impl Strength {
    fn of(stage: Stage, spec: &TrainSpec) -> Self {
        let (pretraining, finetuning) = (&spec.pretraining, &spec.finetuning);
        match stage {
            Stage::Content => Self {
                learning_rate: pretraining.learning_rate,
                lambda: pretraining.lambda,
                prior: 0.0,
            },
            Stage::Warmup | Stage::Collaborative => Self {
                learning_rate: pretraining.learning_rate,
                lambda: pretraining.lambda,
                prior: pretraining.lambda_l,
            },
            Stage::Finetuning => Self {
                learning_rate: finetuning.learning_rate,
                lambda: finetuning.lambda,
                prior: pretraining.lambda_l,
            },
        }
    }
}
