//! Fills the missing cells: one process a cell, so that its memory is its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::bail;

use crate::grid::{Cell, DataSet, Grid};
use crate::results::{Results, append};

/// How the missing cells are filled.
pub(crate) struct Fill<'a> {
    /// Folder of the data sets that do not ship with the project.
    pub(crate) data_root: &'a Path,
    /// Only variants whose name contains this.
    pub(crate) only: &'a str,
    /// Cells that are trained at the same time.
    pub(crate) parallel: usize,
    pub(crate) device: &'a str,
}

/// A cell that is being trained.
struct Training {
    /// What is said of it to people.
    title: String,
    process: Child,
}

impl Fill<'_> {
    /// Trains every cell that has no line yet and appends its line.
    pub(crate) fn fill(
        &self,
        grid: &Grid,
        results: &Path,
    ) -> anyhow::Result<()> {
        let missing = self.missing(grid, results)?;
        let n_missing = missing.len();
        println!("{n_missing} cells are missing");

        let mut running = VecDeque::new();
        for (place, cell) in missing.into_iter().enumerate() {
            let Some(path) = self.path(&grid.data[cell.data], cell.data) else {
                println!(
                    "skipped: {} is not here; --data-root names the folder that holds it",
                    cell.data
                );
                continue;
            };
            if running.len() >= self.n_parallel()
                && let Some(oldest) = running.pop_front()
            {
                finish(oldest, results)?;
            }

            let title = format!(
                "{}/{n_missing} {} on {}, seed {}",
                place + 1,
                cell.variant.name,
                cell.data,
                cell.spec.seed
            );
            println!("{title}");
            let process = self.start(&cell, &path)?;
            running.push_back(Training { title, process });
        }

        for training in running {
            finish(training, results)?;
        }

        Ok(())
    }

    /// The wanted cells that have no line.
    fn missing<'g>(
        &self,
        grid: &'g Grid,
        results: &Path,
    ) -> anyhow::Result<Vec<Cell<'g>>> {
        let results = Results::read(results)?;
        let mut missing = Vec::new();
        for cell in grid.cells()? {
            let is_cold = cell.variant.cold_one_in > 0;
            let line = results.find(cell.data, &cell.spec, is_cold);
            if line.is_none() && cell.variant.name.contains(self.only) {
                missing.push(cell);
            }
        }

        Ok(missing)
    }

    /// Where a data set is, if it is here.
    fn path(&self, data: &DataSet, name: &str) -> Option<PathBuf> {
        let path = if data.path.as_os_str().is_empty() {
            self.data_root.join(name)
        } else {
            data.path.clone()
        };
        path.exists().then_some(path)
    }

    fn n_parallel(&self) -> usize {
        self.parallel.max(1)
    }

    /// Starts this program again, for one cell and with its share of the cores.
    fn start(&self, cell: &Cell<'_>, path: &Path) -> anyhow::Result<Child> {
        let n_cores = std::thread::available_parallelism()?.get();
        let n_threads = (n_cores / self.n_parallel()).max(1).to_string();
        let cold_one_in = cell.variant.cold_one_in.to_string();
        let spec = serde_json::to_string(&cell.spec)?;
        let process = Command::new(std::env::current_exe()?)
            .arg("cell")
            .args(["--name", cell.data])
            .args(["--device", self.device])
            .args(["--threads", &n_threads])
            .args(["--cold-one-in", &cold_one_in])
            .arg("--data")
            .arg(path)
            .args(["--spec", &spec])
            .env("RAYON_NUM_THREADS", &n_threads)
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(process)
    }
}

/// Waits for a cell and appends what it printed.
fn finish(training: Training, results: &Path) -> anyhow::Result<()> {
    let output = training.process.wait_with_output()?;
    if !output.status.success() {
        bail!("{} failed", training.title);
    }
    append(results, &String::from_utf8(output.stdout)?)
}
