//! Scoring a large catalogue for one request and for several at once, beside
//! what the machine reads from memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use model::{Precision, ScoringTables, Tables};
use rayon::prelude::*;
use serde_json::json;

/// Which catalogues are scored, and for how many states at once.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Items of the catalogue.
    #[arg(long, default_value_t = 1_000_000)]
    items: usize,

    /// Widths of a row, with commas between.
    #[arg(long, value_delimiter = ',', default_value = "64,768")]
    widths: Vec<usize>,

    /// States that are scored at once, with commas between.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    states: Vec<usize>,
}

/// Each is repeated; the best counts.
const N_TRIES: usize = 5;
/// Bytes that no cache holds.
const READ: usize = 1 << 30;

/// Measures and prints a line for each width and number of states.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bandwidth = bandwidth();
    let line =
        json!({"memory_gb_per_second": (bandwidth / 1e8).round() / 10.0});
    println!("{line}");
    for &width in &arguments.widths {
        let tables = Tables::normal(1, arguments.items, width, 0);
        let tables = Arc::new(tables.collaborative);
        for precision in [Precision::F32, Precision::Bf16] {
            let scoring = ScoringTables::new(Arc::clone(&tables), precision);
            for &n_states in &arguments.states {
                let seconds = seconds(&scoring, width, n_states);
                let bytes = (scoring.n_values() * precision.n_bytes()) as f64;
                let share = bytes / seconds / bandwidth;
                let line = json!({
                    "items": arguments.items,
                    "width": width,
                    "precision": precision.name(),
                    "states": n_states,
                    "ms": (seconds * 1e4).round() / 10.0,
                    "requests_per_second": (n_states as f64 / seconds).round(),
                    "share_of_memory": (share * 100.0).round() / 100.0,
                });
                println!("{line}");
            }
        }
    }

    Ok(())
}

/// Seconds that so many states take together.
fn seconds(scoring: &ScoringTables, width: usize, n_states: usize) -> f64 {
    let mut states = Vec::new();
    for number in 0..n_states {
        states.push(scoring.state(&values(width, number)));
    }
    let states: Vec<_> = states.iter().collect();
    best(|| drop(black_box(scoring.scores(&states))))
}

/// The values of a state, whatever they are.
fn values(width: usize, number: usize) -> Vec<f32> {
    let mut values = Vec::new();
    for place in 0..width {
        values.push(((number + place) % 7) as f32 / 7.0);
    }
    values
}

/// What all cores together read from memory, in bytes a second.
fn bandwidth() -> f64 {
    let values = vec![1_u64; READ / size_of::<u64>()];
    let seconds = best(|| {
        let chunks = values.par_chunks(1 << 16);
        let sum: u64 = chunks.map(|chunk| chunk.iter().sum::<u64>()).sum();
        black_box(sum);
    });
    READ as f64 / seconds
}

/// The shortest of some tries, in seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..N_TRIES {
        let started = Instant::now();
        work();
        best = best.min(started.elapsed().as_secs_f64());
    }
    best
}
