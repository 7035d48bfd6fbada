//! The same input gives the same bits, interrupted or not.

use std::path::PathBuf;
use std::time::Duration;

use domain::{Backbone, TableInit};
use worker::{Error, Input, Progress, train};

use crate::bench::{Bench, nothing};

#[test]
fn two_runs_with_one_seed_give_bit_identical_tables() {
    let bench = Bench::new();
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 2);
    spec.init = TableInit::Spectral;
    let first = bench.train(&spec);
    assert!(first.tables_file == bench.train(&spec).tables_file);
    spec.seed = 1;
    assert!(first.tables_file != bench.train(&spec).tables_file);
}

#[test]
fn a_resumed_job_ends_where_an_uninterrupted_one_does() {
    let bench = Bench::new();
    let mut spec = nothing();
    (
        spec.pretraining.content_epochs,
        spec.pretraining.epochs,
        spec.finetuning.epochs,
    ) = (1, 1, 3);
    spec.finetuning.with_content = true;
    let Backbone::Random(shape) = &mut spec.backbone else {
        panic!("a random backbone")
    };
    shape.warmup_epochs = 1;
    let whole = bench.train(&spec);

    let scratch = tempfile::tempdir().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (mut progress, mut watch) = Progress::new("flex", stop.clone());
    let input = Input {
        checkpoint_every: Duration::ZERO,
        ..bench.input(&spec, scratch.path(), None)
    };
    let interrupted = std::thread::spawn(move || train(&input, &mut progress));
    // The sixth checkpoint is in the middle of finetuning; nobody takes the
    // seventh.
    let checkpoints: Vec<PathBuf> = (0..6)
        .map(|_| watch.checkpoints.blocking_recv().unwrap())
        .collect();
    stop.cancel();
    drop(watch);
    assert!(matches!(interrupted.join().unwrap(), Err(Error::Stopped)));

    let again = tempfile::tempdir().unwrap();
    let (mut progress, _watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let resumed = train(
        &bench.input(&spec, again.path(), checkpoints.last().cloned()),
        &mut progress,
    )
    .unwrap();
    let tables_file =
        std::fs::read(resumed.model.join("tables.safetensors")).unwrap();
    assert!(whole.tables_file == tables_file);
}

#[test]
fn a_checkpoint_that_cannot_be_read_costs_its_work_and_not_the_job() {
    let bench = Bench::new();
    let mut spec = nothing();
    spec.finetuning.epochs = 1;
    let whole = bench.train(&spec);
    let checkpoint = tempfile::tempdir().unwrap();
    std::fs::write(checkpoint.path().join("state.json"), "{").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let resume = Some(checkpoint.path().to_owned());
    let input = bench.input(&spec, scratch.path(), resume);
    let (mut progress, _watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let trained = train(&input, &mut progress).unwrap();
    let tables_file =
        std::fs::read(trained.model.join("tables.safetensors")).unwrap();
    assert!(whole.tables_file == tables_file);
}

#[test]
fn a_checkpoint_that_cannot_be_written_costs_nothing() {
    let bench = Bench::new();
    let mut spec = nothing();
    spec.finetuning.epochs = 3;
    let whole = bench.train(&spec);
    let scratch = tempfile::tempdir().unwrap();
    // Something is in its place.
    std::fs::write(scratch.path().join("checkpoint-1"), "").unwrap();
    let input = Input {
        checkpoint_every: Duration::ZERO,
        ..bench.input(&spec, scratch.path(), None)
    };
    let (mut progress, mut watch) =
        Progress::new("flex", tokio_util::sync::CancellationToken::new());
    let training = std::thread::spawn(move || train(&input, &mut progress));
    let first = watch.checkpoints.blocking_recv().unwrap();
    assert!(first.ends_with("checkpoint-2"), "{}", first.display());
    while watch.checkpoints.blocking_recv().is_some() {}
    let trained = training.join().unwrap().unwrap();
    let tables_file =
        std::fs::read(trained.model.join("tables.safetensors")).unwrap();
    assert!(whole.tables_file == tables_file);
}
