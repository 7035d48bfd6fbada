//! Imports ten million generated rows with a 5-core and a random split; prints seconds and peak memory.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufWriter, Write};
use std::time::Instant;

use dataset::{ImportOptions, SplitRule, import};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const N_ROWS: usize = 10_000_000;
const N_USERS: u32 = 600_000;
const N_ITEMS: f64 = 100_000.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rows.csv");
    let mut file = BufWriter::new(std::fs::File::create(&path)?);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    writeln!(file, "user_id,item_id,timestamp,rating")?;
    for row in 0..N_ROWS {
        // Items are drawn with a long tail, as they are anywhere.
        let item = N_ITEMS.powf(rng.random::<f64>()) as u32;
        writeln!(file, "user-{:07},item-{item:06},{},4.0", rng.random_range(0..N_USERS), 1_400_000_000 + row)?;
    }
    file.flush()?;
    drop(file);

    let started = Instant::now();
    let options = ImportOptions { k_core: 5, split: SplitRule::Random { seed: 0 }, ..ImportOptions::default() };
    let (dataset, report) = import(&path, &options)?;
    let imported = started.elapsed().as_secs_f64();
    let out = folder.path().join("dataset");
    std::fs::create_dir(&out)?;
    dataset.write(&out)?;
    let written = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak_kb: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    println!(
        "{{\"rows\":{},\"users\":{},\"items\":{},\"kept\":{},\"read_seconds\":{imported:.1},\"total_seconds\":{written:.1},\"peak_gb\":{:.2}}}",
        report.n_read,
        dataset.manifest.n_users,
        dataset.manifest.n_items,
        dataset.manifest.n_interactions,
        peak_kb as f64 / 1e6
    );
    Ok(())
}
