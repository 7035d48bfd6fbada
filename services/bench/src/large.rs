//! A data set of many users, from a file of rows to the first steps of a job on
//! it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::ValueEnum;
use dataset::{Dataset, ImportOptions, SplitRule, import};
use domain::{Backbone, DatasetId, RandomBackbone, TableInit, TrainSpec};
use model::Precision;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use worker::{Input, Progress, train};

use crate::machine;

/// How large the data set is, and how far the job goes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many users there are.
    #[arg(long, default_value_t = 1_000_000)]
    users: u32,

    /// Items; their popularity has a long tail.
    #[arg(long, default_value_t = 20_000)]
    items: u32,

    /// Rows of (user, item, time).
    #[arg(long, default_value_t = 10_000_000)]
    interactions: u32,

    /// Items of a sampled softmax; 0: all.
    #[arg(long, default_value_t = 0)]
    sampled: usize,

    /// Steps that the job takes.
    #[arg(long, default_value_t = 3)]
    steps: usize,

    /// Where the files are made.
    #[arg(long, default_value = "target/bench/large")]
    folder: PathBuf,

    /// The device that computes.
    #[arg(long, default_value = "flex")]
    device: String,

    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Each part has a process of its own, and so a peak of memory.
    #[arg(long, hide = true)]
    part: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Import,
    Job,
}

/// One line for the import and one for the start of a job.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.part {
        Some(Part::Import) => return import_rows(arguments),
        Some(Part::Job) => return start_job(arguments),
        None => {}
    }

    std::fs::create_dir_all(&arguments.folder)?;
    write_rows(arguments, &rows(&arguments.folder)).context("the rows")?;
    for part in ["import", "job"] {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1));
        command.args(["--part", part]);
        let status = command.status()?;
        if !status.success() {
            bail!("{part}: {status}");
        }
    }

    Ok(())
}

fn rows(folder: &Path) -> PathBuf {
    folder.join("rows.csv")
}

fn write_rows(arguments: &Arguments, path: &Path) -> anyhow::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    writeln!(file, "user_id,item_id,timestamp,rating")?;
    for row in 0..arguments.interactions {
        // Everybody once, then at random. Items are drawn with a long tail, as
        // they are anywhere.
        let user = if row < arguments.users {
            row
        } else {
            rng.random_range(0..arguments.users)
        };
        let item = f64::from(arguments.items).powf(rng.random::<f64>()) as u32;
        let time = 1_400_000_000 + row;
        writeln!(file, "user-{user:07},item-{item:06},{time},4.0")?;
    }

    Ok(file.flush()?)
}

fn import_rows(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let options = ImportOptions {
        split: SplitRule::Random { seed: 0 },
        ..ImportOptions::default()
    };
    let (dataset, report) = import(&rows(&arguments.folder), &options)?;
    let imported = started.elapsed().as_secs_f64();
    let folder = arguments.folder.join("dataset");
    std::fs::create_dir_all(&folder)?;
    dataset.write(&folder)?;
    let Dataset { manifest, .. } = dataset;
    let line = json!({
        "import": {
            "rows": report.n_read,
            "users": manifest.n_users,
            "items": manifest.n_items,
            "kept": manifest.n_interactions,
            "read_seconds": imported,
            "total_seconds": started.elapsed().as_secs_f64(),
            "peak_mb": peak_mb(),
        }
    });
    println!("{line}");
    Ok(())
}

/// Trains until a few steps are taken: what is measured is how soon and in how
/// much memory.
fn start_job(arguments: &Arguments) -> anyhow::Result<()> {
    let device =
        machine::device(&arguments.device, Precision::F32, arguments.threads)?;
    let scratch = tempfile::tempdir_in(&arguments.folder)?;
    let dataset = arguments.folder.join("dataset");
    let input = Input::alone(spec(arguments)?, dataset, scratch.path(), device);
    let started = Instant::now();
    let stop = CancellationToken::new();
    let (mut progress, watch) = Progress::new(&arguments.device, stop.clone());
    drop(watch.checkpoints); // nobody takes them
    let mut latest = watch.progress;
    let training = std::thread::spawn(move || train(&input, &mut progress));
    let mut after = Vec::new();
    while after.len() < arguments.steps {
        if futures::executor::block_on(latest.changed()).is_err() {
            break;
        }

        let n_steps = latest.borrow_and_update().step;
        let seconds = started.elapsed().as_secs_f64();
        after.resize(n_steps.max(after.len()), seconds);
    }

    stop.cancel();

    match training.join() {
        Ok(Err(worker::Error::Stopped)) => {}
        Ok(Err(error)) => return Err(error.into()),
        Ok(Ok(_)) => bail!("the job ended within {} steps", arguments.steps),
        Err(_) => bail!("the training panicked"),
    }

    let line =
        json!({"job": {"steps_after_seconds": after, "peak_mb": peak_mb()}});
    println!("{line}");
    Ok(())
}

/// A job on GPT-2 small with fresh rows.
fn spec(arguments: &Arguments) -> anyhow::Result<TrainSpec> {
    let mut spec = TrainSpec::new(DatasetId::new("large")?);
    let shape = RandomBackbone {
        n_embd: 768,
        n_layer: 12,
        n_head: 12,
        n_positions: 1024,
        ..RandomBackbone::default()
    };
    spec.backbone = Backbone::Random(shape);
    spec.init = TableInit::Normal;
    spec.n_sampled_items = arguments.sampled;
    Ok(spec)
}

fn peak_mb() -> Option<u64> {
    machine::peak_memory(std::process::id()).map(|bytes| bytes / 1_000_000)
}
