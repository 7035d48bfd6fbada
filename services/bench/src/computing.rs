//! What computes: each device in each precision, and how fast it could be.

use std::process::Command;

use anyhow::Context;
use model::{Precision, compute_device, has_own_memory};
use serde_json::{Value, json};

/// A device in a precision, and the highest rate that its products of matrices
/// reached in this run.
#[derive(Clone)]
pub(crate) struct Computing {
    pub(crate) device: String,
    pub(crate) precision: Precision,
    /// It has memory of its own.
    pub(crate) is_card: bool,
    /// Floating-point operations a second.
    pub(crate) peak: f64,
}

impl Computing {
    /// The line that is printed before the stages.
    pub(crate) fn line(&self, n_threads: usize) -> Value {
        json!({
            "device": self.device,
            "precision": self.precision,
            "gemm_gflops": (self.peak / 1e9).round(),
            "threads": n_threads,
        })
    }
}

/// Measures each device in each precision; one that it does not have in
/// hardware is left out.
pub(crate) fn all_computing(
    devices: &[String],
    precisions: &[Precision],
    n_threads: usize,
) -> anyhow::Result<Vec<Computing>> {
    let mut computing = Vec::new();
    for device in devices {
        for &precision in precisions {
            let found = compute_device(device)?;
            if let Err(error) = found.check(precision) {
                eprintln!("left out: {error}");
                continue;
            }

            computing.push(Computing {
                device: device.clone(),
                precision,
                is_card: has_own_memory(&found.device),
                peak: peak(device, precision, n_threads)?,
            });
        }
    }

    Ok(computing)
}

/// Measures in a process of its own, which has its own number of threads.
fn peak(
    device: &str,
    precision: Precision,
    n_threads: usize,
) -> anyhow::Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("peak");
    command.args(["--device", device]);
    command.args(["--precision", precision.name()]);
    command.args(["--threads", &n_threads.to_string()]);
    let output = command.output()?;
    let rate = String::from_utf8_lossy(&output.stdout);
    rate.trim().parse().with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("no rate of {device}: {said}")
    })
}
