//! Scoring a large catalogue for one request and for several at once, beside what the machine reads
//! from memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use model::{Precision, ScoringTables, Tables};
use rayon::prelude::*;
use serde_json::json;

/// Of the command.
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

impl Arguments {
    /// Each precision with each number of states.
    fn precisions(&self) -> impl Iterator<Item = (Precision, usize)> + '_ {
        let with_states = |precision| {
            self.states
                .iter()
                .map(move |&n_states| (precision, n_states))
        };
        [Precision::F32, Precision::Bf16]
            .into_iter()
            .flat_map(with_states)
    }
}

/// Each is repeated; the best counts.
const N_TRIES: usize = 5;
/// Bytes that no cache holds.
const READ: usize = 1 << 30;

/// Measures and prints a line for each width and number of states.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bandwidth = bandwidth();
    println!(
        "{}",
        json!({"memory_gb_per_second": (bandwidth / 1e8).round() / 10.0})
    );
    for &width in &arguments.widths {
        let tables = Arc::new(Tables::normal(1, arguments.items, width, 0).collaborative);
        for (precision, n_states) in arguments.precisions() {
            let catalogue = ScoringTables::new(Arc::clone(&tables), precision);
            let state = |number: usize| {
                (0..width)
                    .map(|place| ((number + place) % 7) as f32 / 7.0)
                    .collect::<Vec<_>>()
            };
            let states: Vec<_> = (0..n_states)
                .map(|number| catalogue.state(&state(number)))
                .collect();
            let seconds = best(|| {
                drop(black_box(
                    catalogue.scores(&states.iter().collect::<Vec<_>>()),
                ))
            });
            let bytes = (catalogue.n_values() * precision.n_bytes()) as f64;
            println!(
                "{}",
                json!({
                    "items": arguments.items, "width": width, "precision": precision.name(), "states": n_states,
                    "ms": (seconds * 1e4).round() / 10.0,
                    "requests_per_second": (n_states as f64 / seconds).round(),
                    "share_of_memory": (bytes / seconds / bandwidth * 100.0).round() / 100.0,
                })
            );
        }
    }
    Ok(())
}

/// What all cores together read from memory, in bytes a second.
fn bandwidth() -> f64 {
    let values = vec![1_u64; READ / size_of::<u64>()];
    let seconds = best(|| {
        let sum: u64 = values
            .par_chunks(1 << 16)
            .map(|chunk| chunk.iter().sum::<u64>())
            .sum();
        black_box(sum);
    });
    READ as f64 / seconds
}

fn best(mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    };
    (0..N_TRIES).map(once).fold(f64::INFINITY, f64::min)
}
