//! Comparing with a reference's numbers, for all tests that do.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses a part of it"
)]

use std::path::{Path, PathBuf};

/// The path that a variable of the environment names, else one in this crate.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment"
)]
pub fn folder_or(variable: &str, default: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(default);
    std::env::var_os(variable).map_or(default, PathBuf::from)
}

/// The folders of decoders with their reference's numbers: `tests/decoders`, or
/// those below `CLLM4REC_DECODERS`.
pub fn decoder_folders() -> Vec<PathBuf> {
    let root = folder_or("CLLM4REC_DECODERS", "tests/decoders");
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("reference.json").exists() {
            folders.push(folder);
        }
    }
    folders.sort();
    assert!(!folders.is_empty(), "{} has no decoder", root.display());
    folders
}

/// Losses and gradients: relative to the largest entry.
pub const GRADIENT_TOLERANCE: f64 = 1e-4;
/// Scores: relative to the row's largest |score|.
pub const SCORE_TOLERANCE: f64 = 1e-5;

/// Fails unless every entry is as expected, within a share of the largest one.
pub fn assert_close(
    name: &str,
    found: &[f32],
    expected: &[f32],
    tolerance: f64,
) {
    assert_eq!(found.len(), expected.len(), "{name}: sizes");
    let (mut largest, mut worst) = (0_f32, 0_f32);
    for (found, expected) in found.iter().zip(expected) {
        largest = largest.max(expected.abs());
        worst = worst.max((found - expected).abs());
    }
    assert!(
        f64::from(worst) <= tolerance * f64::from(largest),
        "{name}: off by {worst}, largest entry {largest}"
    );
}

/// Compares scores row by row.
pub fn assert_rows_close(
    name: &str,
    found: &[f32],
    expected: &[f32],
    width: usize,
) {
    assert_eq!(found.len(), expected.len(), "{name}: sizes");
    let rows = found.chunks(width).zip(expected.chunks(width));
    for (number, (found, expected)) in rows.enumerate() {
        let name = format!("{name}, row {number}");
        assert_close(&name, found, expected, SCORE_TOLERANCE);
    }
}

/// The logarithms of a row's softmax.
pub fn log_softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|score| (score - highest).exp()).sum();
    for score in row {
        *score -= highest + sum.ln();
    }
}
