//! ★ The second half of `TrainJob`: load → content LM and collaborative LM alternating →
//! recommendation finetuning → evaluate → save. Synchronous; runs on a thread of its own.

use std::time::Instant;

use dataset::Dataset;
use domain::Part;
use model::save_backbone;

use crate::backbone::is_warmed_up;
use crate::input::{Input, Trained, new_folder};
use crate::plan::{Stage, plan};
use crate::progress::Progress;
use crate::run::Run;
use crate::stages::Context;
use crate::{Error, checkpoint, stages};

/// Trains from the start or from a checkpoint until the plan ends, validation stops improving, or
/// `progress` says stop. The same input gives bit-identical tables on the same kind of machine.
pub fn train(input: &Input, progress: &mut Progress) -> Result<Trained, Error> {
    let dataset = Dataset::read_without_texts(&input.dataset).map_err(Error::Data)?;
    progress.check()?;
    let (mut run, corpus, test) = Run::start(input, &dataset, progress)?;
    let epochs = plan(&input.spec);
    if let Some(folder) = &input.resume {
        let reports = checkpoint::read(&mut run, folder)?;
        progress.resume(
            reports,
            run.n_epochs_done as f64 / epochs.len().max(1) as f64,
        );
        tracing::info!(
            n_epochs_done = run.n_epochs_done,
            "going on from a checkpoint"
        );
    }
    let mut last_checkpoint = Instant::now();
    for epoch in epochs.iter().skip(run.n_epochs_done) {
        if epoch.stage == Stage::Finetuning && run.pretrained.is_none() {
            run.begin_finetuning(&corpus, progress)?;
        }
        let teacher = run.ease.as_ref().map(|ease| &ease.weights);
        let context = Context {
            spec: &input.spec,
            corpus: &corpus,
            teacher,
            n_epochs: epochs.len(),
        };
        stages::run(&context, epoch, &mut run.learned, progress)?;
        run.n_epochs_done += 1;
        if epoch.is_validated
            && run
                .validate(&corpus, progress)?
                .is_worse_for(input.spec.evaluation.patience)
        {
            break;
        }
        if last_checkpoint.elapsed() >= input.checkpoint_every {
            save_checkpoint(&run, input, progress)?;
            last_checkpoint = Instant::now();
        }
    }
    run.finish(input, &dataset, (&corpus, &test), progress)
}

/// Writes a checkpoint and hands it over to be stored.
fn save_checkpoint(run: &Run, input: &Input, progress: &mut Progress) -> Result<(), Error> {
    progress.begins(Part::Saving);
    let folder = new_folder(&input.scratch, &format!("checkpoint-{}", run.n_epochs_done))?;
    checkpoint::write(run, progress.reports(), &input.job, &folder)?;
    if is_warmed_up(&input.spec.backbone) {
        save_backbone(&folder, &run.config, &run.learned.gpt2)?;
    }
    progress.checkpoint(folder)
}
