//! ★ The second half of `TrainJob`: load → content LM and collaborative LM
//! alternating → recommendation finetuning → evaluate → save. Synchronous; runs
//! on a thread of its own.

use std::path::Path;
use std::time::Instant;

use dataset::Dataset;
use domain::{Part, Stage};

use crate::contract::input::{Input, Trained};
use crate::contract::plan::plan;
use crate::contract::progress::Progress;
use crate::disk;
use crate::error::Error;
use crate::evaluation::choose::Chosen;
use crate::evaluation::holdout::Holdout;
use crate::evaluation::measure::measure;
use crate::evaluation::write::{Finished, write};
use crate::material::backbone::{self, is_warmed_up};
use crate::material::corpus::Corpus;
use crate::training::context::Context;
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
    let dataset =
        Dataset::read_without_texts(&input.dataset).map_err(Error::Data)?;
    progress.check()?;
    let backbone = backbone::start(input, progress)?;
    let (corpus, test) = Corpus::read(input, &dataset, &backbone, progress)?;
    let mut run = Run::start(input, backbone, &corpus, progress)?;
    run_epochs(&mut run, input, &corpus, progress)?;
    progress.evaluation_begins();
    let candidate = run.into_candidate(&corpus, progress)?;
    let chosen = Chosen::new(candidate, &input.spec, &corpus, progress)?;
    progress.begins(Part::Test);
    let test = Holdout::test(&corpus, &test);
    let metrics = measure(&chosen, &input.spec, test, progress)?;
    progress.begins(Part::Saving);
    let finished = Finished {
        chosen,
        metrics,
        popularity: corpus.popularity(),
        counted_words: corpus.counted_words,
    };
    let trained = write(finished, input, &dataset, progress);
    // Beginning a part ends the one before: what writing took is noted.
    progress.begins(Part::Saving);
    trained
}

/// Runs the plan's epochs, from a checkpoint where there is one; saves the
/// state now and then.
fn run_epochs(
    run: &mut Run,
    input: &Input,
    corpus: &Corpus,
    progress: &mut Progress,
) -> Result<(), Error> {
    let spec = &input.spec;
    let epochs = plan(spec);
    if let Some(folder) = &input.resume {
        let reports = checkpoint::read(run, folder)?;
        let n_epochs_done = run.n_epochs_done;
        let done = n_epochs_done as f64 / epochs.len().max(1) as f64;
        progress.resume(reports, done);
        tracing::info!(n_epochs_done, "going on from a checkpoint");
    }
    let mut last_checkpoint = Instant::now();
    for epoch in epochs.iter().skip(run.n_epochs_done) {
        if epoch.stage == Stage::Finetuning && run.pretrained.is_none() {
            run.begin_finetuning(corpus, progress)?;
        }
        let context = Context {
            spec,
            corpus,
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
    let folder = input
        .scratch
        .join(format!("checkpoint-{}", run.n_epochs_done));
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
    checkpoint::write(run, progress.reports(), &input.job, folder)?;
    if is_warmed_up(&input.spec.backbone) {
        run.learned.backbone.write(folder)?;
    }
    Ok(())
}
