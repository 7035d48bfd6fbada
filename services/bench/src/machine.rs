//! What the machine could do at most, and what a process took of it.

use anyhow::Context;
use model::{Device, Precision, compute_device};

/// Of the hidden command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What computes.
    #[arg(long)]
    device: String,
    /// Threads that compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Prints the highest rate that products of f32 matrices reach, in floating-point operations a second.
pub(crate) fn print_peak(arguments: &Arguments) -> anyhow::Result<()> {
    let device = device(&arguments.device, arguments.threads)?;
    println!("{:.0}", model::gemm_peak(&device, Precision::F32));
    Ok(())
}

/// A device with a number of threads: rayon's are flex's, LibTorch has its own.
pub(crate) fn device(name: &str, n_threads: usize) -> anyhow::Result<Device> {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global().context("threads were started already")?;
    let device = compute_device(name)?.device;
    model::use_threads(n_threads);
    Ok(device)
}

/// Most resident memory of a process so far, in bytes (`VmHWM`); `None` once it is gone.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
