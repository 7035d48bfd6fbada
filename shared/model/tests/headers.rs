//! Headers with any damage, and sizes that are not the weights': what is refused
//! is refused by name, and nothing takes memory that the file does not have.
//!
//! In a program of their own, because they watch the program's memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod small;

use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::small::gguf::{self, Gguf};
use crate::small::{INDEX, Small, WHOLE, refusal, shard};

/// Damaged files of each kind.
const N_DAMAGED: usize = 250;
/// More than reading any of the files takes, which have 0.4 MB; far less than
/// what a wrong size asks for.
const MOST_GROWTH: u64 = 256 << 20;

/// Sizes that no fixture has. Some are beyond what any decoder has, some are
/// not: weights of those would take more than [`MOST_GROWTH`].
const SIZES: [u64; 7] = [0, 1000, 1 << 18, 1 << 22, 1 << 31, 1 << 62, u64::MAX];

/// A file of a folder, and how long what comes before its numbers is.
struct Target {
    folder: tempfile::TempDir,
    file: String,
    n_header: usize,
}

impl Target {
    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.file)
    }
}

/// The header's length of a safetensors file.
fn safetensors_header(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let length: [u8; 8] = bytes[..8].try_into().unwrap();
    8 + u64::from_le_bytes(length) as usize
}

fn targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for small in [Small::gpt2(), Small::llama()] {
        for file in [WHOLE, "config.json"] {
            let folder = tempfile::tempdir().unwrap();
            small.write(folder.path());
            targets.push(target(folder, file));
        }
        for file in [INDEX, &shard(1)] {
            let folder = tempfile::tempdir().unwrap();
            small.write_shards(folder.path());
            targets.push(target(folder, file));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (bytes, n_header) = Gguf::of_llama(&Small::llama()).bytes();
    fs::write(folder.path().join("llama.gguf"), bytes).unwrap();
    targets.push(Target {
        folder,
        file: "llama.gguf".to_owned(),
        n_header,
    });
    targets
}

fn target(folder: tempfile::TempDir, file: &str) -> Target {
    let path = folder.path().join(file);
    let n_header = if file.ends_with(".safetensors") {
        safetensors_header(&path)
    } else {
        fs::read(&path).unwrap().len()
    };
    Target {
        folder,
        file: file.to_owned(),
        n_header,
    }
}

/// The most memory that this program has had mapped, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

#[test]
fn no_damage_to_a_header_takes_memory_or_passes_for_a_whole_file() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for target in targets() {
        assert_eq!(refusal(target.folder.path()), None, "{}", target.file);
        let before = peak_memory();
        for _ in 0..N_DAMAGED {
            truncated(&target, &mut rng);
            overwritten(&target, &mut rng);
        }
        let grown = peak_memory() - before;
        assert!(grown < MOST_GROWTH, "{}: {grown} bytes", target.file);
    }
}

/// A file that ends early is refused.
fn truncated(target: &Target, rng: &mut ChaCha8Rng) {
    let path = target.path();
    let whole = fs::read(&path).unwrap();
    let length = rng.random_range(0..whole.len());
    fs::write(&path, &whole[..length]).unwrap();
    let message = refusal(target.folder.path());
    let message =
        message.unwrap_or_else(|| panic!("{length} of {}", target.file));
    assert!(message.contains(&target.file), "{message}");
    fs::write(&path, whole).unwrap();
}

/// A file with other bytes in its header is refused by name, where it does not
/// say the same with them.
fn overwritten(target: &Target, rng: &mut ChaCha8Rng) {
    let path = target.path();
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    for _ in 0..rng.random_range(1..4) {
        let place = rng.random_range(0..target.n_header);
        damaged[place] = match rng.random_range(0..3) {
            0 => damaged[place] ^ 1 << rng.random_range(0..8),
            1 => b'9',
            _ => rng.random_range(0..=255),
        };
    }
    fs::write(&path, damaged).unwrap();
    if let Some(message) = refusal(target.folder.path()) {
        let folder = target.folder.path().display().to_string();
        assert!(message.contains(&folder), "{message}");
    }
    fs::write(&path, whole).unwrap();
}

#[test]
fn sizes_that_are_not_the_weights_are_refused_by_name() {
    let gpt2 = [
        "vocab_size",
        "n_positions",
        "n_embd",
        "n_layer",
        "n_head",
        "n_inner",
    ];
    let llama = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
    ];
    let before = peak_memory();
    for (small, fields) in
        [(Small::gpt2(), &gpt2[..]), (Small::llama(), &llama[..])]
    {
        for field in fields {
            for size in SIZES {
                refuses_size(&small, field, size);
            }
        }
    }
    // Nothing in a Llama's weights says how many positions it has.
    refuses_size(&Small::llama(), "max_position_embeddings", 0);
    refuses_size(&Small::llama(), "max_position_embeddings", u64::MAX);
    let grown = peak_memory() - before;
    assert!(grown < MOST_GROWTH, "{grown} bytes");
}

fn refuses_size(small: &Small, field: &str, size: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut small = small.clone();
    small.config[field] = size.into();
    small.write(folder.path());
    let name = format!("{field} = {size}");
    let message = refusal(folder.path());
    let message = message.unwrap_or_else(|| panic!("{name}: it was read"));
    let is_named = message.contains(field)
        || message.contains("has shape")
        || message.contains("is missing");
    assert!(is_named, "{name}: {message}");
}

#[test]
fn sizes_that_are_not_a_gguf_files_are_refused() {
    let before = peak_memory();
    for key in [
        "embedding_length",
        "feed_forward_length",
        "block_count",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
    ] {
        for size in SIZES {
            let mut gguf = Gguf::of_llama(&Small::llama());
            gguf.set(&format!("llama.{key}"), gguf::u64(size));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("llama.gguf");
            fs::write(&path, gguf.bytes().0).unwrap();
            let message = refusal(&path);
            let message =
                message.unwrap_or_else(|| panic!("{key} = {size}: was read"));
            assert!(message.contains("llama.gguf"), "{message}");
        }
    }
    let grown = peak_memory() - before;
    assert!(grown < MOST_GROWTH, "{grown} bytes");
}
