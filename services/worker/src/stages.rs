//! One epoch of each stage: draw batches, compute the step, move the rows.

use domain::{Optimizer, Target, TrainSpec};
use model::hybrid::softened;
use model::recommender::{Example, Options, hide};
use model::{
    Adam, Ease, Gpt2, Objective, PairMoments, Precision, Pull, Tables, Teacher, Warmup,
    collaborative, content, recommender, step,
};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::corpus::Corpus;
use crate::error::in_step;
use crate::plan::{Epoch, Stage};
use crate::progress::Progress;

/// What training changes.
#[derive(Debug)]
pub(crate) struct Learned {
    /// In f32, as it is kept.
    pub(crate) gpt2: Gpt2,
    /// Of the backbone while it computes.
    pub(crate) precision: Precision,
    pub(crate) tables: Tables,
    pub(crate) content: PairMoments,
    pub(crate) collaborative: PairMoments,
}

impl Learned {
    /// The backbone as it computes.
    pub(crate) fn computing(&self) -> Gpt2 {
        self.gpt2.in_precision(self.precision)
    }
}

/// What an epoch reads.
pub(crate) struct Context<'a> {
    pub(crate) spec: &'a TrainSpec,
    pub(crate) corpus: &'a Corpus,
    /// What is distilled.
    pub(crate) teacher: Option<&'a Ease>,
    /// Epochs of the whole plan.
    pub(crate) n_epochs: usize,
}

/// Runs one epoch.
pub(crate) fn run(
    context: &Context<'_>,
    epoch: &Epoch,
    learned: &mut Learned,
    progress: &mut Progress,
) -> Result<(), Error> {
    let mut rng = epoch.rng(context.spec.seed);
    progress.begins(epoch.stage.into());
    match epoch.stage {
        Stage::Warmup => warmup(context, epoch, learned, progress, &mut rng),
        Stage::Content => {
            let places = context.corpus.text_epoch(context.spec, &mut rng);
            let batches = places.chunks(context.spec.pretraining.batch);
            let objectives =
                batches.map(|batch| Ok(content::objective(&context.corpus.documents_at(batch)?)));
            learn(context, epoch, learned, progress, objectives)
        }
        Stage::Collaborative => {
            let histories = context.corpus.history_epoch(context.spec, &mut rng);
            let batches = histories.chunks(context.spec.pretraining.batch);
            let objectives = batches.map(|batch| {
                let objective = collaborative::objective(&context.corpus.histories(batch));
                Ok(context.sampled(objective, &mut rng))
            });
            learn(context, epoch, learned, progress, objectives)
        }
        Stage::Finetuning => {
            let users = training_users(context.corpus, &mut rng);
            let batches = users.chunks(context.spec.finetuning.batch);
            let objectives = batches.map(|batch| {
                let objective = finetuning_objective(context, batch, &mut rng);
                Ok(context.sampled(objective, &mut rng))
            });
            learn(context, epoch, learned, progress, objectives)
        }
    }
}

/// Steps over the objectives of a stage whose tables are learned; one is made at a time.
fn learn(
    context: &Context<'_>,
    epoch: &Epoch,
    learned: &mut Learned,
    progress: &mut Progress,
    objectives: impl ExactSizeIterator<Item = Result<Objective, Error>>,
) -> Result<(), Error> {
    let (spec, n_steps) = (context.spec, objectives.len());
    if n_steps == 0 {
        return Ok(()); // a data set without texts has no content stage
    }
    progress.epoch_begins(epoch, n_steps);
    let gpt2 = learned.computing();
    let Learned {
        tables,
        content,
        collaborative,
        ..
    } = learned;
    let (own, other, moments) = match epoch.stage {
        Stage::Content => (&mut tables.content, &tables.collaborative, content),
        Stage::Warmup | Stage::Collaborative | Stage::Finetuning => {
            (&mut tables.collaborative, &tables.content, collaborative)
        }
    };
    let is_finetuning = epoch.stage == Stage::Finetuning;
    let learning_rate = if is_finetuning {
        spec.finetuning.learning_rate
    } else {
        spec.pretraining.learning_rate
    };
    let lambda = if is_finetuning {
        spec.finetuning.lambda
    } else {
        spec.pretraining.lambda
    };
    let prior = if epoch.stage == Stage::Content {
        0.0
    } else {
        spec.pretraining.lambda_l
    };
    let pull = Pull {
        toward: other,
        lambda,
        prior,
    };
    let adam = Adam::new(learning_rate);
    for (number, objective) in objectives.enumerate() {
        progress.check()?;
        let objective = objective?;
        let step = step::compute(&gpt2, own, epoch.is_pulled.then_some(pull), &objective)
            .map_err(in_step)?;
        match spec.optimizer {
            Optimizer::Lazy => moments.update(&adam, own, &step),
            Optimizer::Dense => moments.update_dense(&adam, own, &step),
        }
        progress.has_room_for(gpt2.budget.get());
        progress.step(
            step.cross_entropy,
            step.n_tokens,
            context.done(epoch, number + 1, n_steps),
        );
    }
    progress.epoch_ends(epoch);
    Ok(())
}

impl Context<'_> {
    /// With a softmax over some items, where the job wants that.
    fn sampled(&self, objective: Objective, rng: &mut ChaCha8Rng) -> Objective {
        match self.spec.n_sampled_items {
            0 => objective,
            n_sampled => objective.sampled(n_sampled, self.corpus.n_items, rng),
        }
    }

    /// Share of the plan that is done after `step` of `n_steps`.
    fn done(&self, epoch: &Epoch, step: usize, n_steps: usize) -> f64 {
        (epoch.number as f64 + step as f64 / n_steps.max(1) as f64) / self.n_epochs as f64
    }
}

/// One pass of words and one of item sequences through a backbone that still learns.
fn warmup(
    context: &Context<'_>,
    epoch: &Epoch,
    learned: &mut Learned,
    progress: &mut Progress,
    rng: &mut ChaCha8Rng,
) -> Result<(), Error> {
    let (spec, corpus) = (context.spec, context.corpus);
    let (texts, histories) = (
        corpus.text_epoch(spec, rng),
        corpus.history_epoch(spec, rng),
    );
    let size = spec.pretraining.batch;
    let mut batches: Vec<Batch<'_>> = texts.chunks(size).map(Batch::Texts).collect();
    batches.extend(histories.chunks(size).map(Batch::Histories));
    batches.shuffle(rng);
    let n_steps = batches.len();
    progress.epoch_begins(epoch, n_steps);
    let mut warmup = Warmup::new(learned.gpt2.clone(), spec.pretraining.learning_rate);
    for (number, batch) in batches.into_iter().enumerate() {
        progress.check()?;
        let (objective, tables) = match batch {
            Batch::Texts(places) => (
                content::objective(&corpus.documents_at(places)?),
                &learned.tables.content,
            ),
            Batch::Histories(histories) => (
                collaborative::objective(&corpus.histories(histories)),
                &learned.tables.collaborative,
            ),
        };
        let loss = warmup.step(tables, &objective).map_err(in_step)?;
        progress.step(
            loss,
            objective.n_tokens(),
            context.done(epoch, number + 1, n_steps),
        );
    }
    learned.gpt2 = warmup.finish();
    progress.epoch_ends(epoch);
    Ok(())
}

/// One step's material of the warm-up.
enum Batch<'a> {
    Texts(&'a [usize]),
    Histories(&'a [(u32, Vec<u32>)]),
}

/// Each user with a history once, in random order.
fn training_users(corpus: &Corpus, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut users: Vec<u32> = (0u32..)
        .zip(&corpus.train)
        .filter(|(_, history)| !history.is_empty())
        .map(|(user, _)| user)
        .collect();
    users.shuffle(rng);
    users
}

/// A part of each history hidden, the rest in the prompt (paper, section 3.3).
fn finetuning_objective(context: &Context<'_>, users: &[u32], rng: &mut ChaCha8Rng) -> Objective {
    let options = &context.spec.finetuning;
    let examples: Vec<Example> = users
        .iter()
        .map(|&user| example(context, user, rng))
        .collect();
    let dropout =
        (options.dropout > 0.0).then(|| (options.dropout, ChaCha8Rng::seed_from_u64(rng.random())));
    let asks_teacher = options.distilled_share > 0.0 && context.spec.n_sampled_items == 0;
    let teacher = context
        .teacher
        .filter(|_| asks_teacher)
        .map(|ease| teacher(context, ease, users));
    recommender::objective(
        &examples,
        Options {
            logit_scale: options.logit_scale,
            dropout,
            teacher,
        },
    )
}

/// What EASE would say of each user's whole history.
fn teacher(context: &Context<'_>, ease: &Ease, users: &[u32]) -> Teacher {
    let options = &context.spec.finetuning;
    let distribution = |user: &u32| {
        softened(
            ease.scores(&context.corpus.train[*user as usize]),
            options.teacher_sharpness,
        )
    };
    Teacher {
        share: options.distilled_share,
        probabilities: users.iter().flat_map(distribution).collect(),
    }
}

fn example(context: &Context<'_>, user: u32, rng: &mut ChaCha8Rng) -> Example {
    let (options, corpus) = (&context.spec.finetuning, context.corpus);
    let history = &corpus.train[user as usize];
    let (visible, hidden) = hide(history, options.hidden_share, rng);
    let targets = match options.target {
        Target::Hidden => hidden,
        Target::All => history.clone(),
    };
    let user = (!options.without_user_token).then_some(user);
    Example {
        prompt: corpus.training_prompt(user, &visible),
        targets,
    }
}
