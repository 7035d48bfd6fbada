//! `worker calibrate`: what is done once on a machine that will train.

use std::path::PathBuf;

use clap::Subcommand;
use domain::{Calibration, Rate};
use serde_json::json;

use crate::local::settings::LocalSettings;
use crate::output::writer::Output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measure how fast this machine trains, in a minute or so;
    /// `--validate-only` then says how long a job will take. Device and
    /// precision are the worker's settings (WORKER__DEVICE,

    /// WORKER__PRECISION). Let nothing else run.
    Calibrate {
        /// The folder of `up`; what is measured goes to its `calibration.json`,
        /// which a worker reads when it starts.
        #[arg(long, default_value = "data")]
        data_dir: PathBuf,
    },
}

pub(crate) async fn run(
    command: Command,
    output: Output,
) -> anyhow::Result<()> {
    let Command::Calibrate { data_dir } = command;
    let settings = LocalSettings::below(&data_dir)?.worker;
    let path = settings.calibration.clone();
    let measuring =
        tokio::task::spawn_blocking(move || worker::calibrate(&settings));
    let calibration = measuring.await??;
    output.write(&json!(calibration), || {
        format!("{}\nkept in {}", table(&calibration), path.display())
    });
    Ok(())
}

/// The machine, its products of matrices, and a row for each part of the work.
fn table(machine: &Calibration) -> String {
    let f32 = gigaflops(machine.gemm_f32);
    let bf16 = machine
        .gemm_bf16
        .map_or("not in hardware".to_owned(), gigaflops);
    let mut lines = vec![
        format!(
            "{} on {} cores, {}",
            machine.device, machine.n_threads, machine.precision
        ),
        format!("products of matrices: f32 {f32}, bf16 {bf16}"),
        format!(
            "{:<14} {:>6} {:>10} {:>12}",
            "part", "width", "tokens/s", "s per TFLOP"
        ),
    ];
    lines.extend(machine.rates.iter().map(row));
    lines.join("\n")
}

fn row(rate: &Rate) -> String {
    let tokens = if rate.tokens_per_second > 0.0 {
        format!("{:.0}", rate.tokens_per_second)
    } else {
        String::new()
    };
    format!(
        "{:<14} {:>6} {tokens:>10} {:>12.1}",
        rate.part.name(),
        rate.n_embd,
        rate.seconds * 1e12
    )
}

/// A rate in operations a second, for people.
fn gigaflops(rate: f64) -> String {
    format!("{:.0} GFLOP/s", rate / 1e9)
}
