//! A job's state on disk, so that another worker can go on where this one stopped.
//!
//! Files: `state.json`, `numbers.safetensors` (tables, Adam's moments, the best tables so far), and
//! for a warmed-up backbone its two files beside them.

use std::path::Path;

use domain::{EpochReport, StageReport};
use model::metrics::RankingMetrics;
use model::{Moments, PairMoments, Tables, TensorFile, write_tensors};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::run::{Best, Run};

/// The part of a checkpoint that is not numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whose it is: two jobs that compute the same must not share a checkpoint that one of them
    /// deletes.
    job: String,
    pub(crate) n_epochs_done: usize,
    pub(crate) stages: Vec<StageReport>,
    #[serde(default)]
    pub(crate) epochs: Vec<EpochReport>,
    pub(crate) best: Option<RankingMetrics>,
    pub(crate) pretrained: Option<RankingMetrics>,
    pub(crate) n_without_better: usize,
    /// Adam's step counts, in the order of [`moments`].
    n_steps: [u64; 4],
}

/// How the stages and the epochs went.
type Reports = (Vec<StageReport>, Vec<EpochReport>);

const STATE: &str = "state.json";
const NUMBERS: &str = "numbers.safetensors";

/// Each table's moments by name.
fn moments(run: &Run) -> [(&'static str, &Moments); 4] {
    let (content, collaborative) = (&run.learned.content, &run.learned.collaborative);
    [
        ("content.users", &content.users),
        ("content.items", &content.items),
        ("collaborative.users", &collaborative.users),
        ("collaborative.items", &collaborative.items),
    ]
}

/// Writes a checkpoint into an existing, empty folder.
pub(crate) fn write(
    run: &Run,
    (stages, epochs): Reports,
    job: &str,
    folder: &Path,
) -> Result<(), Error> {
    let moments = moments(run);
    let mut tensors = run.learned.tables.moved("");
    if let Some(best) = &run.best {
        tensors.extend(best.tables.moved("best."));
    }
    tensors.extend(
        moments
            .iter()
            .flat_map(|(name, of_table)| of_table.tensors(name)),
    );
    write_tensors(&folder.join(NUMBERS), &tensors)?;
    let state = State {
        job: job.to_owned(),
        n_epochs_done: run.n_epochs_done,
        stages,
        epochs,
        best: run.best.as_ref().map(|best| best.metrics),
        pretrained: run.pretrained,
        n_without_better: run.n_without_better,
        n_steps: moments.map(|(_, of_table)| of_table.n_steps()),
    };
    let path = folder.join(STATE);
    std::fs::write(
        &path,
        serde_json::to_vec(&state).expect("plain data becomes JSON"),
    )
    .map_err(Error::file(path))
}

/// Reads a checkpoint into a run that has just started.
pub(crate) fn read(run: &mut Run, folder: &Path) -> Result<Reports, Error> {
    let path = folder.join(STATE);
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let state: State = serde_json::from_slice(&bytes)
        .map_err(|e| Error::Spec(format!("checkpoint {}: {e}", path.display())))?;
    let file = TensorFile::open(&folder.join(NUMBERS))?;
    let pair = |model: &str, steps: [u64; 2]| -> Result<PairMoments, Error> {
        let moments =
            |table: &str, n_steps| Moments::read(&file, &format!("{model}.{table}"), n_steps);
        Ok(PairMoments {
            users: moments("users", steps[0])?,
            items: moments("items", steps[1])?,
        })
    };
    let [
        content_users,
        content_items,
        collaborative_users,
        collaborative_items,
    ] = state.n_steps;
    run.learned.tables = Tables::read(&file, "")?;
    run.learned.content = pair("content", [content_users, content_items])?;
    run.learned.collaborative = pair("collaborative", [collaborative_users, collaborative_items])?;
    run.best = match state.best {
        Some(metrics) => Some(Best {
            metrics,
            tables: Tables::read(&file, "best.")?,
        }),
        None => None,
    };
    run.pretrained = state.pretrained;
    run.n_epochs_done = state.n_epochs_done;
    run.n_without_better = state.n_without_better;
    Ok((state.stages, state.epochs))
}
