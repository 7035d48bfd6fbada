//! Measuring: one process a cell, so that its memory is its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use dataset::{Dataset, ImportOptions, Split, TextKind, import};
use domain::{DatasetId, TrainSpec};
use tokio_util::sync::CancellationToken;
use worker::{Input, Progress, train};

use crate::grid::{Cell, Data, Grid, PLACE_HOLDER};
use crate::results::{Line, Results, append, hash, name};

/// How the missing cells are filled.
pub(crate) struct Run<'a> {
    pub(crate) data_root: &'a Path,
    pub(crate) only: &'a str,
    pub(crate) parallel: usize,
    pub(crate) device: &'a str,
}

impl Run<'_> {
    /// Trains every cell that has no line yet and appends its line.
    pub(crate) fn fill(&self, grid: &Grid, results: &Path) -> anyhow::Result<()> {
        let known = Results::read(results)?;
        let mut missing: Vec<Cell<'_>> = grid.cells()?;
        missing.retain(|cell| {
            let is_there = known
                .find(cell.data, &cell.spec, cell.variant.cold_one_in > 0)
                .is_some();
            !is_there && cell.variant.name.contains(self.only)
        });
        let n_missing = missing.len();
        println!("{n_missing} cells are missing");
        let mut running: Vec<(String, Child)> = Vec::new();
        for (number, cell) in missing.into_iter().enumerate() {
            let Some(path) = self.path(&grid.data[cell.data], cell.data) else {
                println!(
                    "skipped: {} is not here; --data-root names the folder that holds it",
                    cell.data
                );
                continue;
            };
            if running.len() >= self.parallel.max(1) {
                let (what, child) = running.remove(0);
                finish(&what, child, results)?;
            }
            let what = format!(
                "{}/{n_missing} {} on {}, seed {}",
                number + 1,
                cell.variant.name,
                cell.data,
                cell.spec.seed
            );
            println!("{what}");
            running.push((what, self.start(&cell, &path)?));
        }
        for (what, child) in running {
            finish(&what, child, results)?;
        }
        Ok(())
    }

    fn path(&self, data: &Data, name: &str) -> Option<PathBuf> {
        let path = if data.path.as_os_str().is_empty() {
            self.data_root.join(name)
        } else {
            data.path.clone()
        };
        path.exists().then_some(path)
    }

    fn start(&self, cell: &Cell<'_>, path: &Path) -> anyhow::Result<Child> {
        let cores = std::thread::available_parallelism()?.get();
        let threads = (cores / self.parallel.max(1)).max(1);
        let child = Command::new(std::env::current_exe()?)
            .arg("cell")
            .args(["--name", cell.data, "--device", self.device])
            .args([
                "--threads",
                &threads.to_string(),
                "--cold-one-in",
                &cell.variant.cold_one_in.to_string(),
            ])
            .arg("--data")
            .arg(path)
            .args(["--spec", &serde_json::to_string(&cell.spec)?])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    }
}

fn finish(what: &str, child: Child, results: &Path) -> anyhow::Result<()> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{what} failed");
    }
    append(results, &String::from_utf8(output.stdout)?)
}

/// One cell.
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
    /// Compute in bf16, also where the hardware has none: the same numbers, later.
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

/// Items that lose their training and validation interactions to the test split keep their texts:
/// reviews become descriptions, since somebody who has not interacted has not written one.
fn leave_cold(dataset: &mut Dataset, one_in: u64) {
    let is_cold = |item: u32| u64::from(item) % one_in == 0;
    let rows = &mut dataset.interactions;
    for (item, split) in rows.items.iter().zip(&mut rows.splits) {
        if is_cold(*item) {
            *split = Split::Test;
        }
    }
    for text in &mut dataset.texts {
        if text.kind == TextKind::Review && text.item.is_some_and(is_cold) {
            (text.kind, text.user) = (TextKind::Description, None);
        }
    }
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
    let own = TrainSpec {
        dataset: DatasetId::new(id.as_str())?,
        ..spec.clone()
    };
    let precision = if arguments.bf16 {
        model::Precision::Bf16
    } else {
        model::Precision::F32
    };
    let input = Input {
        precision,
        ..Input::alone(own, data, folder, device.device)
    };
    let (mut progress, _watch) = Progress::new(&device.name, CancellationToken::new());
    let started = Instant::now();
    let trained = train(&input, &mut progress)?;
    Ok(Line {
        data: name(&arguments.name, arguments.cold_one_in > 0),
        dataset: id,
        spec_hash: hash(&spec)?,
        spec: TrainSpec {
            dataset: DatasetId::new(PLACE_HOLDER)?,
            ..spec
        },
        device: device.name,
        threads: arguments.threads,
        seconds: (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        peak_mb: peak_mb()?,
        metrics: trained
            .metrics
            .into_iter()
            .map(|(name, value)| (name, (value * 1e6).round() / 1e6))
            .collect(),
    })
}

/// Most memory that this process has held, in MiB.
fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this needs Linux")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok((kib / 1024.0).round())
}
