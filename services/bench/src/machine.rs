//! What the machine could do at most, and what a process took of it.

use anyhow::Context;
use model::{Device, Precision, compute_device};
use serde::Deserialize;
use serde::de::IntoDeserializer;

/// Whose products of matrices are timed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The device that computes.
    #[arg(long)]
    device: String,

    /// Precision of the matrices.
    #[arg(long, value_parser = precision, default_value = "f32")]
    precision: Precision,

    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Prints the highest rate that products of matrices reach, in floating-point
/// operations a second.
pub(crate) fn print_peak(arguments: &Arguments) -> anyhow::Result<()> {
    let device =
        device(&arguments.device, arguments.precision, arguments.threads)?;
    println!("{:.0}", model::gemm_peak(&device, arguments.precision));
    Ok(())
}

/// A device that has a precision, with a number of threads: rayon's are flex's,
/// LibTorch has its own.
pub(crate) fn device(
    name: &str,
    precision: Precision,
    n_threads: usize,
) -> anyhow::Result<Device> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build_global()
        .context("threads were started already")?;
    let computing = compute_device(name)?;
    computing.check(precision)?;
    model::use_threads(n_threads);
    Ok(computing.device)
}

/// Reads the name of a precision.
pub(crate) fn precision(
    name: &str,
) -> Result<Precision, serde::de::value::Error> {
    Precision::deserialize(name.into_deserializer())
}

/// Most resident memory of a process so far, in bytes (`VmHWM`); `None` once it
/// is gone.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
