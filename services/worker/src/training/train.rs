//! ★ The second half of `TrainJob`: load → content LM and collaborative LM
//! alternating → recommendation finetuning → evaluate → once more on all
//! interactions, where the job wants that → save. Synchronous; runs on a thread
//! of its own.

use std::path::Path;
use std::time::Instant;

use dataset::{Dataset, Split};
use domain::{LEARNED_BEFORE, Part, Stage};
use model::{Backbone, FitKind, copy_measured};

use crate::contract::input::{Input, Trained};
use crate::contract::plan::plan;
use crate::contract::progress::Progress;
use crate::disk;
use crate::error::Error;
use crate::evaluation::choices::Evaluated;
use crate::evaluation::choose::Chosen;
use crate::evaluation::holdout::Holdout;
use crate::evaluation::measure::measure;
use crate::evaluation::write::{Finished, keep_measured, write};
use crate::material::backbone::{self, is_warmed_up};
use crate::material::corpus::Corpus;
use crate::training::context::Context;
use crate::training::earlier::{Earlier, EarlierRows, write_splits};
use crate::training::fit::Fit;
use crate::training::run::Run;
use crate::training::{checkpoint, stages};

/// Trains from the start or from a checkpoint until the plan ends, validation
/// stops improving, or `progress` says stop. The same input gives bit-identical
/// tables on the same kind of machine. A checkpoint that cannot be read (one of
/// another program, say) costs its work, not the job.
pub fn train(input: &Input, progress: &mut Progress) -> Result<Trained, Error> {
    let trained = train_from(input, progress);
    let Err(error @ Error::Checkpoint { .. }) = trained else {
        return trained;
    };
    let error = service::chain(&error);
    tracing::warn!(error, "starting over: the checkpoint cannot be read");
    let from_the_start = Input {
        resume: None,
        ..input.clone()
    };
    train_from(&from_the_start, progress)
}

fn train_from(
    input: &Input,
    progress: &mut Progress,
) -> Result<Trained, Error> {
    let mut dataset =
        Dataset::read_without_texts(&input.dataset).map_err(Error::Data)?;
    progress.check()?;
    let earlier = input.earlier.as_ref().map(Earlier::open).transpose()?;
    let mut n_learned_before = 0;
    if let Some(earlier) = &earlier {
        n_learned_before = earlier.learn_again(&mut dataset)?;
        if n_learned_before > 0 {
            write_splits(&input.scratch, &dataset)?;
        }
    }
    let backbone = backbone::start(input, progress)?;
    let evaluated = match &input.resume {
        Some(folder) => checkpoint::evaluated(folder)?,
        None => None,
    };
    let is_resumed = evaluated.is_some();
    if let Some(folder) = input.resume.as_ref().filter(|_| is_resumed) {
        copy_measured(folder, &input.scratch)?;
    }
    let evaluated = match evaluated {
        Some(evaluated) => evaluated,
        None => {
            let job = Job {
                input,
                dataset: &dataset,
                backbone: &backbone,
                earlier: earlier.as_ref(),
            };
            let mut finished = job.fit_first(progress)?;
            if n_learned_before > 0 {
                let n = n_learned_before as f64;
                finished.metrics.insert(LEARNED_BEFORE.to_owned(), n);
            }
            if !has_final_fit(input, &dataset) {
                return write(finished, input, &dataset, progress);
            }
            keep_measured(&finished.chosen, &input.scratch)?;
            finished.into_evaluated(&input.spec)
        }
    };

    dataset.interactions.splits.fill(Split::Train);
    let job = Job {
        input,
        dataset: &dataset,
        backbone: &backbone,
        earlier: earlier.as_ref(),
    };
    let finished = job.fit_finally(evaluated, is_resumed, progress)?;
    write(finished, input, &dataset, progress)
}

/// True where a final fit sees more than the first one.
fn has_final_fit(input: &Input, dataset: &Dataset) -> bool {
    let splits = &dataset.interactions.splits;
    let holds_out = splits.iter().any(|split| *split != Split::Train);
    input.spec.fits_finally() && holds_out
}

/// A job, with what both of its fits read.
struct Job<'a> {
    input: &'a Input,
    dataset: &'a Dataset,
    backbone: &'a Backbone,
    earlier: Option<&'a Earlier<'a>>,
}

impl Job<'_> {
    /// The rows of the version that the job starts from.
    fn earlier_rows(&self, fit: FitKind) -> Result<Option<EarlierRows>, Error> {
        let Some(earlier) = self.earlier else {
            return Ok(None);
        };
        let rows = earlier.rows(fit, self.dataset, self.backbone)?;
        Ok(Some(rows))
    }

    /// Fits on the training split, chooses on the validation split and measures
    /// on the test split.
    fn fit_first(&self, progress: &mut Progress) -> Result<Finished, Error> {
        let Self {
            input,
            dataset,
            backbone,
            ..
        } = *self;
        let (corpus, test) = Corpus::read(input, dataset, backbone, progress)?;
        let is_last = !has_final_fit(input, dataset);
        let rows = self.earlier_rows(FitKind::Measured)?;
        let fit = Fit::first(input, corpus, is_last).starting_from(rows);
        let mut run = Run::start(input, backbone.clone(), &fit, progress)?;
        run_epochs(&mut run, input, &fit, progress)?;
        progress.evaluation_begins();
        let candidate = run.into_candidate(&fit.corpus, progress)?;
        let chosen = Chosen::new(candidate, &fit, progress)?;
        progress.begins(Part::Test);
        let test = Holdout::test(&fit.corpus.histories, &test);
        let metrics = measure(&chosen, &input.spec, test, progress)?;
        Ok(Finished {
            chosen,
            metrics,
            corpus: fit.corpus,
            is_final_fit: false,
        })
    }

    /// Fits on all interactions with what the first fit chose.
    fn fit_finally(
        &self,
        evaluated: Evaluated,
        is_resumed: bool,
        progress: &mut Progress,
    ) -> Result<Finished, Error> {
        let Self {
            input,
            dataset,
            backbone,
            ..
        } = *self;
        progress.final_fit_begins();
        let (corpus, _) = Corpus::read(input, dataset, backbone, progress)?;
        let rows = self.earlier_rows(FitKind::Served)?;
        let mut fit = Fit::last(input, corpus, evaluated).starting_from(rows);
        if is_resumed {
            fit.resume = input.resume.clone();
        }
        let mut run = Run::start(input, backbone.clone(), &fit, progress)?;
        run_epochs(&mut run, input, &fit, progress)?;
        let candidate = run.into_candidate(&fit.corpus, progress)?;
        let chosen = Chosen::new(candidate, &fit, progress)?;
        let metrics = fit.evaluated.take().map(|before| before.metrics);
        Ok(Finished {
            chosen,
            metrics: metrics.unwrap_or_default(),
            corpus: fit.corpus,
            is_final_fit: true,
        })
    }
}

/// Runs the fit's epochs, from a checkpoint where there is one; saves the state
/// now and then.
fn run_epochs(
    run: &mut Run,
    input: &Input,
    fit: &Fit,
    progress: &mut Progress,
) -> Result<(), Error> {
    let (spec, corpus) = (&fit.spec, &fit.corpus);
    let epochs = plan(spec);
    if let Some(folder) = &fit.resume {
        let reports = checkpoint::read(run, folder)?;
        let n_epochs_done = run.n_epochs_done;
        let done = n_epochs_done as f64 / epochs.len().max(1) as f64;
        progress.resume(reports, fit.done(done));
        tracing::info!(n_epochs_done, "going on from a checkpoint");
    }
    let mut last_checkpoint = Instant::now();
    for epoch in epochs.iter().skip(run.n_epochs_done) {
        if epoch.stage == Stage::Finetuning && run.pretrained.is_none() {
            run.begin_finetuning(corpus, progress)?;
        }
        let context = Context {
            fit,
            teacher: run.ease.as_ref().map(|ease| &ease.weights),
            epoch,
            n_epochs: epochs.len(),
        };
        stages::run(&context, &mut run.learned, progress)?;
        run.n_epochs_done += 1;
        if epoch.is_validated {
            run.validate(corpus, progress)?;
            if run.is_out_of_patience(spec.evaluation.patience) {
                break;
            }
        }
        if progress.is_leaving() {
            save_checkpoint(run, input, progress)?;
            return Err(Error::Stopped);
        }
        if last_checkpoint.elapsed() >= input.checkpoint_every {
            save_checkpoint(run, input, progress)?;
            last_checkpoint = Instant::now();
        }
    }
    Ok(())
}
/// Writes a checkpoint and hands it over to be stored. Where the disk has no
/// room for it, training goes on without.
fn save_checkpoint(
    run: &Run,
    input: &Input,
    progress: &mut Progress,
) -> Result<(), Error> {
    progress.begins(Part::Saving);
    let fit = if run.evaluated.is_some() {
        "final-"
    } else {
        ""
    };
    let name = format!("{fit}checkpoint-{}", run.n_epochs_done);
    let folder = input.scratch.join(name);
    match write_checkpoint(run, input, &folder, progress) {
        Ok(()) => progress.checkpoint(folder),
        Err(error) if error.is_passing() => {
            let error = service::chain(&error);
            tracing::warn!(error, "cannot write a checkpoint");
            disk::remove_folder(&folder)
        }
        Err(error) => Err(error),
    }
}

fn write_checkpoint(
    run: &Run,
    input: &Input,
    folder: &Path,
    progress: &Progress,
) -> Result<(), Error> {
    disk::new_folder(folder)?;
    if run.evaluated.is_some() {
        copy_measured(&input.scratch, folder)?;
    }
    checkpoint::write(run, progress.reports(), &input.job, folder)?;
    if is_warmed_up(&input.spec.backbone) {
        run.learned.backbone.write(folder)?;
    }
    Ok(())
}
