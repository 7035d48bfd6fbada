//! How fast a backbone is on this machine: a short forward pass, timed, and
//! what training would cost by it.

use std::path::Path;
use std::time::Instant;

use domain::{Pass, content_epoch};
use model::{Backbone, Precision};

use crate::error::Error;
use crate::settings::Settings;

/// How fast a backbone is here, and what follows from it.
#[derive(Debug, Clone)]
pub struct Speed {
    /// The name of the device that computed.
    pub device: String,
    /// What it computed in.
    pub precision: Precision,
    /// Tokens that go through the blocks in a second, forward.
    pub tokens_per_second: f64,
    /// Seconds that an epoch of the content LM over [`N_TEXTS`] texts takes at
    /// that many operations a second.
    pub epoch_seconds: f64,
}

/// Texts of the epoch whose time is told.
pub const N_TEXTS: usize = 1_000;
/// Words of such a text: the default `pretraining.max_text_tokens`.
pub const N_WORDS: usize = 64;
/// Texts that are timed at once.
const N_TIMED: usize = 6;
/// They are timed until this many seconds have passed, after a first time that
/// does not count.
const SECONDS: f64 = 1.0;

/// Times a backbone on a worker's device and in its precision.
pub fn speed(path: &Path, settings: &Settings) -> Result<Speed, Error> {
    let computing = model::compute_device(&settings.device)?;
    computing.check(settings.precision)?;
    let backbone = Backbone::read(path, &computing.device)
        .map_err(Error::Backbone)?
        .in_precision(settings.precision);
    let n_words = N_WORDS.min(backbone.n_positions());
    let mut text: Vec<u32> = Vec::with_capacity(n_words);
    for place in 0..n_words {
        text.push((place % backbone.n_words()) as u32);
    }
    let texts = vec![text; N_TIMED];
    let seconds = seconds_of_pass(&backbone, &texts);
    let shape = backbone.shape();
    let timed = timed(n_words);
    let operations = timed.forward(&shape);
    let of_epoch = content_epoch(&shape, N_TEXTS as f64, N_WORDS as f64);
    Ok(Speed {
        device: computing.name,
        precision: settings.precision,
        tokens_per_second: timed.n_tokens / seconds,
        epoch_seconds: of_epoch / operations * seconds,
    })
}

fn seconds_of_pass(backbone: &Backbone, texts: &[Vec<u32>]) -> f64 {
    model::hidden_of_words(backbone, texts);
    let started = Instant::now();
    let mut n_passes = 0;
    while n_passes == 0 || started.elapsed().as_secs_f64() < SECONDS {
        model::hidden_of_words(backbone, texts);
        n_passes += 1;
    }
    started.elapsed().as_secs_f64() / f64::from(n_passes)
}

/// The pass that is timed: texts of so many words, which are all read.
fn timed(n_words: usize) -> Pass {
    let n_tokens = (N_TIMED * n_words) as f64;
    let n_seen = N_TIMED as f64 * triangle(n_words);
    Pass {
        n_tokens,
        n_read: n_tokens,
        n_soft: 0.0,
        n_seen,
        n_seen_by_read: n_seen,
    }
}

/// How many keys `n` queries see when each sees one more than the one before.
fn triangle(n: usize) -> f64 {
    (n * (n + 1) / 2) as f64
}
