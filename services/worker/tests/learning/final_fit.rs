//! The fit on all interactions after the measurement.

use std::time::Duration;

use dataset::{Dataset, Split};
use domain::{Label, Light, ReadTexts, TableInit, TrainSpec};
use model::Artifact;
use tokio_util::sync::CancellationToken;
use worker::{Input, Progress, train};

use crate::bench::{Bench, nothing};

/// A job in which everything that can be chosen is open.
fn spec(final_fit: Option<bool>) -> TrainSpec {
    let mut spec = nothing();
    spec.pretraining.epochs = 1;
    spec.finetuning.epochs = 4;
    spec.finetuning.final_fit = final_fit;
    spec.finetuning.distilled_share = 0.5;
    spec.hybrid.light = Light::Ease;
    spec.init = TableInit::Spectral;
    spec
}

#[test]
fn a_final_fit_sees_everything_and_keeps_the_measured_figures() {
    let bench = Bench::new();
    let measured = bench.train(&spec(Some(false)));
    let fitted = bench.train(&spec(Some(true)));
    assert_eq!(fitted.metrics, measured.metrics);
    assert!(!measured.artifact.manifest.is_final_fit);
    assert!(fitted.artifact.manifest.is_final_fit);
    assert_eq!(
        fitted.artifact.manifest.light_weight,
        measured.artifact.manifest.light_weight,
        "what was chosen"
    );
    let data = Dataset::read(&bench.data).unwrap();
    let n_taken = |artifact: &Artifact| {
        let popularity = artifact.popularity.as_ref().unwrap();
        popularity.iter().sum::<u32>() as usize
    };
    assert_eq!(n_taken(&fitted.artifact), data.interactions.users.len());
    let train = data.interactions.splits.iter();
    let n_train = train.filter(|split| **split == Split::Train).count();
    assert_eq!(n_taken(&measured.artifact), n_train);
}

#[test]
fn an_item_that_was_held_out_altogether_is_known_after_the_final_fit() {
    let hold_out = |dataset: &mut Dataset| {
        let rows = &mut dataset.interactions;
        for (item, split) in rows.items.iter().zip(&mut rows.splits) {
            if *item == 4 {
                *split = Split::Test;
            }
        }
    };
    let bench = Bench::with(hold_out);
    let is_known = |final_fit| {
        let mut spec = spec(Some(final_fit));
        spec.reading.texts = ReadTexts::None; // else its title makes it known
        let fitted = bench.train(&spec);
        let light = fitted.artifact.light.expect("a hybrid");
        !light.unknown_items().contains(&4)
    };
    assert!(!is_known(false));
    assert!(is_known(true));
}

#[test]
fn a_job_that_moves_a_label_is_fitted_finally_unless_told_otherwise() {
    let mut spec = spec(None);
    assert!(!spec.fits_finally());
    spec.labels.push(Label::live());
    assert!(spec.fits_finally());
    spec.finetuning.final_fit = Some(false);
    assert!(!spec.fits_finally());
}

#[test]
fn a_final_fit_goes_on_from_its_checkpoint() {
    let bench = Bench::new();
    let spec = spec(Some(true));
    let whole = bench.train(&spec);

    let scratch = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let (mut progress, mut watch) = Progress::new("flex", stop.clone());
    let input = Input {
        checkpoint_every: Duration::ZERO,
        ..bench.input(&spec, scratch.path(), None)
    };
    let interrupted = std::thread::spawn(move || train(&input, &mut progress));
    // One of each pretrained table, four of finetuning, then the first one of
    // the final fit.
    let mut checkpoint = None;
    for _ in 0..7 {
        checkpoint = watch.checkpoints.blocking_recv();
    }
    let checkpoint = checkpoint.unwrap();
    let state = std::fs::read_to_string(checkpoint.join("state.json")).unwrap();
    assert!(!state.contains("\"evaluated\":null"), "of the final fit");
    stop.cancel();
    drop(watch);
    let _ = interrupted.join().unwrap();

    let again = tempfile::tempdir().unwrap();
    let (mut progress, watch) = Progress::new("flex", CancellationToken::new());
    let input = bench.input(&spec, again.path(), Some(checkpoint));
    let resumed = train(&input, &mut progress).unwrap();
    let tables = resumed.model.join("tables.safetensors");
    assert!(std::fs::read(tables).unwrap() == whole.tables_file);
    assert_eq!(resumed.metrics, whole.metrics);
    let n_epochs = watch.progress.borrow().epochs.len();
    assert_eq!(n_epochs, 6, "the curves of the fit that was measured");
}
