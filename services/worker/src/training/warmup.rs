//! One epoch of a random backbone that still learns: one pass of words and one
//! of item sequences, their batches in random order.

use model::{Objective, Tables, TokenTables, Warmup, collaborative, content};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::contract::progress::Progress;
use crate::error::{Error, in_step};
use crate::material::corpus::{Corpus, UserItems};
use crate::training::context::Context;
use crate::training::learned::Learned;

/// Runs one epoch of the warm-up; the tables are constants meanwhile.
pub(super) fn warmup(
    context: &Context<'_>,
    learned: &mut Learned,
    progress: &mut Progress,
    rng: &mut ChaCha8Rng,
) -> Result<(), Error> {
    let (spec, corpus) = (&context.fit.spec, &context.fit.corpus);
    let texts = corpus.text_epoch(spec, rng);
    let histories = corpus.history_epoch(spec, rng);
    let size = spec.pretraining.batch;
    let mut batches: Vec<Batch<'_>> =
        texts.chunks(size).map(Batch::Texts).collect();
    batches.extend(histories.chunks(size).map(Batch::Histories));
    batches.shuffle(rng);
    let n_steps = batches.len();
    progress.epoch_begins(context.epoch, n_steps);
    let mut warmup =
        Warmup::new(learned.backbone.clone(), spec.pretraining.learning_rate);
    for (number, batch) in batches.into_iter().enumerate() {
        progress.check()?;
        let objective = batch.objective(corpus)?;
        let tables = batch.tables(&learned.tables);
        let loss = warmup.step(tables, &objective).map_err(in_step)?;
        let done = context.done(number + 1, n_steps);
        progress.step(loss, objective.n_tokens(), done);
    }
    learned.backbone = warmup.finish();
    progress.epoch_ends(context.epoch);
    Ok(())
}

/// The material of one step.
#[derive(Clone, Copy)]
enum Batch<'a> {
    Texts(&'a [usize]),
    Histories(&'a [UserItems]),
}

impl Batch<'_> {
    fn objective(self, corpus: &Corpus) -> Result<Objective, Error> {
        Ok(match self {
            Self::Texts(places) => {
                content::objective(&corpus.documents_at(places)?)
            }
            Self::Histories(histories) => {
                collaborative::objective(&corpus.histories(histories))
            }
        })
    }

    fn tables(self, tables: &Tables) -> &TokenTables {
        match self {
            Self::Texts(_) => &tables.content,
            Self::Histories(_) => &tables.collaborative,
        }
    }
}
