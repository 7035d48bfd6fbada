//! Trains and measures one cell, in this process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use dataset::{Dataset, ImportOptions, Split, TextKind, import};
use domain::{DatasetId, TrainSpec};
use model::Precision;
use tokio_util::sync::CancellationToken;
use worker::{Input, Progress, train};

use crate::grid::PLACE_HOLDER;
use crate::results::{Line, name, spec_hash};

/// Which cell is trained, and on what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    name: String,

    #[arg(long)]
    data: PathBuf,

    #[arg(long)]
    spec: String,

    #[arg(long)]
    device: String,

    #[arg(long)]
    threads: usize,

    #[arg(long)]
    cold_one_in: u64,

    /// Compute in bf16, also where the hardware has none: the same numbers,
    /// later.
    #[arg(long)]
    bf16: bool,
}

/// Trains one cell and prints its line.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("warn")
        .with_writer(std::io::stderr)
        .init();
    let (mut dataset, _) = import(&arguments.data, &ImportOptions::default())?;
    if arguments.cold_one_in > 0 {
        leave_cold(&mut dataset, arguments.cold_one_in);
    }

    let folder = tempfile::tempdir()?;
    let spec: TrainSpec = serde_json::from_str(&arguments.spec)?;
    let line = train_cell(arguments, spec, &dataset, folder.path())?;
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// Items that lose their training and validation interactions to the test split
/// keep their texts: reviews become descriptions, since somebody who has not
/// interacted has not written one.
fn leave_cold(dataset: &mut Dataset, one_in: u64) {
    let rows = &mut dataset.interactions;
    for (item, split) in rows.items.iter().zip(&mut rows.splits) {
        if is_cold(*item, one_in) {
            *split = Split::Test;
        }
    }

    for text in &mut dataset.texts {
        let is_of_cold_item =
            text.item.is_some_and(|item| is_cold(item, one_in));
        if text.kind == TextKind::Review && is_of_cold_item {
            text.kind = TextKind::Description;
            text.user = None;
        }
    }
}

fn is_cold(item: u32, one_in: u64) -> bool {
    u64::from(item).is_multiple_of(one_in)
}

fn train_cell(
    arguments: &Arguments,
    spec: TrainSpec,
    dataset: &Dataset,
    folder: &Path,
) -> anyhow::Result<Line> {
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    dataset.write(&data)?;
    let id = storage::content_id(&data)?;

    let device = model::compute_device(&arguments.device)?;
    let mut own_spec = spec.clone();
    own_spec.dataset = DatasetId::new(id.as_str())?;
    let mut input = Input::alone(own_spec, data, folder, device.device);
    if arguments.bf16 {
        input.precision = Precision::Bf16;
    }

    let (mut progress, _watch) =
        Progress::new(&device.name, CancellationToken::new());
    let started = Instant::now();
    let trained = train(&input, &mut progress)?;
    let seconds = started.elapsed().as_secs_f64();

    Ok(Line {
        data: name(&arguments.name, arguments.cold_one_in > 0),
        dataset: id.into(),
        spec_hash: spec_hash(&spec)?,
        spec: with_place_holder(spec)?,
        device: device.name,
        threads: arguments.threads,
        seconds: (seconds * 10.0).round() / 10.0,
        peak_mb: peak_mb()?,
        metrics: rounded(trained.metrics),
    })
}

fn with_place_holder(mut spec: TrainSpec) -> anyhow::Result<TrainSpec> {
    spec.dataset = DatasetId::new(PLACE_HOLDER)?;
    Ok(spec)
}

/// Metrics with six digits.
fn rounded(mut metrics: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    for value in metrics.values_mut() {
        *value = (*value * 1e6).round() / 1e6;
    }
    metrics
}

/// Most memory that this process has held, in MiB.
fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("this needs Linux")?;
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM in /proc/self/status")?;
    let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    Ok((kib / 1024.0).round())
}
