//! A job's state on disk, so that another worker can go on where this one
//! stopped.
//!
//! Files: `state.json`, `numbers.safetensors` (tables, Adam's moments, the best
//! tables so far), and for a warmed-up backbone its two files beside them.

use std::path::Path;

use domain::{EpochReport, StageReport};
use model::metrics::RankingMetrics;
use model::{Moments, PairMoments, Tables, TensorFile, write_tensors};
use serde::{Deserialize, Serialize};

use crate::contract::progress::Reports;
use crate::disk;
use crate::error::Error;
use crate::evaluation::choices::Evaluated;
use crate::training::run::{Best, Run};

/// The part of a checkpoint that is not numbers.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The job's id: two jobs that compute the same must not share a checkpoint
    /// that one of them deletes.
    job: String,
    n_epochs_done: usize,
    stages: Vec<StageReport>,
    #[serde(default)]
    epochs: Vec<EpochReport>,
    best: Option<RankingMetrics>,
    /// Epochs that were done when the best tables were kept; absent in
    /// checkpoints that were written before this was noted.
    #[serde(default)]
    best_after: Option<usize>,
    /// What was measured before, where this is a final fit.
    #[serde(default)]
    evaluated: Option<Evaluated>,
    pretrained: Option<RankingMetrics>,
    n_without_better: usize,
    /// Adam's step counts, in the order of [`NAMES`].
    n_steps: [u64; 4],
}

const STATE: &str = "state.json";
const NUMBERS: &str = "numbers.safetensors";

/// The names of the moments in [`NUMBERS`].
const NAMES: [&str; 4] = [
    "content.users",
    "content.items",
    "collaborative.users",
    "collaborative.items",
];

fn moments(run: &Run) -> [&Moments; 4] {
    let (content, collaborative) =
        (&run.learned.content, &run.learned.collaborative);
    [
        &content.users,
        &content.items,
        &collaborative.users,
        &collaborative.items,
    ]
}

/// Writes a checkpoint into an existing, empty folder.
pub(super) fn write(
    run: &Run,
    reports: Reports,
    job: &str,
    folder: &Path,
) -> Result<(), Error> {
    let moments = moments(run);
    let mut tensors = run.learned.tables.moved("");
    if let Some(best) = &run.best {
        tensors.extend(best.tables.moved("best."));
    }
    for (name, moments) in NAMES.iter().zip(moments) {
        tensors.extend(moments.tensors(name));
    }
    write_tensors(&folder.join(NUMBERS), &tensors)?;
    let state = State {
        job: job.to_owned(),
        n_epochs_done: run.n_epochs_done,
        stages: reports.stages,
        epochs: reports.epochs,
        best: run.best.as_ref().map(|best| best.metrics),
        best_after: run.best.as_ref().map(|best| best.n_epochs_done),
        evaluated: run.evaluated.clone(),
        pretrained: run.pretrained,
        n_without_better: run.n_without_better,
        n_steps: moments.map(Moments::n_steps),
    };
    let bytes = serde_json::to_vec(&state).expect("plain data becomes JSON");
    disk::write(&folder.join(STATE), &bytes)
}

/// Reads a checkpoint into a run that has just started.
pub(super) fn read(run: &mut Run, folder: &Path) -> Result<Reports, Error> {
    let state = read_state(folder)?;
    let numbers =
        Numbers::read(folder, &state).map_err(Error::checkpoint(folder))?;
    run.learned.tables = numbers.tables;
    run.learned.content = numbers.content;
    run.learned.collaborative = numbers.collaborative;
    run.best = numbers.best;
    run.pretrained = state.pretrained;
    run.n_epochs_done = state.n_epochs_done;
    run.n_without_better = state.n_without_better;
    Ok(Reports {
        stages: state.stages,
        epochs: state.epochs,
    })
}

/// What was measured before a checkpoint that belongs to a final fit.
pub(super) fn evaluated(folder: &Path) -> Result<Option<Evaluated>, Error> {
    Ok(read_state(folder)?.evaluated)
}

fn read_state(folder: &Path) -> Result<State, Error> {
    let bytes =
        std::fs::read(folder.join(STATE)).map_err(Error::checkpoint(folder))?;
    serde_json::from_slice(&bytes).map_err(Error::checkpoint(folder))
}

/// The part of a checkpoint that is numbers.
struct Numbers {
    tables: Tables,
    content: PairMoments,
    collaborative: PairMoments,
    best: Option<Best>,
}

impl Numbers {
    fn read(folder: &Path, state: &State) -> Result<Self, model::Error> {
        let file = TensorFile::open(&folder.join(NUMBERS))?;
        let n_steps = state.n_steps;
        let content = PairMoments {
            users: Moments::read(&file, NAMES[0], n_steps[0])?,
            items: Moments::read(&file, NAMES[1], n_steps[1])?,
        };
        let collaborative = PairMoments {
            users: Moments::read(&file, NAMES[2], n_steps[2])?,
            items: Moments::read(&file, NAMES[3], n_steps[3])?,
        };
        let mut best = None;
        if let Some(metrics) = state.best {
            let tables = Tables::read(&file, "best.")?;
            let n_epochs_done = state.best_after;
            best = Some(Best {
                metrics,
                tables,
                n_epochs_done: n_epochs_done.unwrap_or(state.n_epochs_done),
            });
        }
        Ok(Self {
            tables: Tables::read(&file, "")?,
            content,
            collaborative,
            best,
        })
    }
}
