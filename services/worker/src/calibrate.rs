//! How fast a machine is: small jobs are trained, and their time is divided by their work.
//!
//! `cllm4rec worker calibrate` writes what comes out to the file that a worker sends to the
//! coordinator when it asks for work; from it `validate_only` says how long a job will take.

use std::fmt::Write;
use std::path::Path;

use dataset::ImportOptions;
use domain::{Backbone, Calibration, Counts, DatasetId, Part, RandomBackbone, Rate, TrainSpec};
use model::{ComputeDevice, Precision, n_cores};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use crate::input::{Input, new_folder};
use crate::progress::{Progress, Watch};
use crate::{Error, Settings, train};

/// Widths that the parts are measured at. A wide backbone's job is a small one: what does not
/// depend on the width is known by then.
const NARROW: RandomBackbone = RandomBackbone {
    warmup_epochs: 1,
    ..shape(256, 1, 4)
};
const WIDE: RandomBackbone = shape(768, 2, 12);
/// Users and items of a job, about as the shipped data sets have them.
const NARROW_SIZE: Size = Size {
    n_users: 800,
    n_items: 2_000,
    n_documents: 100,
};
const WIDE_SIZE: Size = Size {
    n_users: 160,
    n_items: 2_000,
    n_documents: 20,
};

const fn shape(n_embd: usize, n_layer: usize, n_head: usize) -> RandomBackbone {
    let value_path = domain::ValuePath::NearIdentity;
    RandomBackbone {
        n_embd,
        n_layer,
        n_head,
        n_positions: 512,
        seed: 0,
        value_path,
        warmup_epochs: 0,
    }
}

struct Size {
    n_users: usize,
    n_items: usize,
    n_documents: usize,
}

/// Measures a worker's device by training on it and keeps what comes out where the worker's
/// settings say. A minute or so; nothing else should run meanwhile.
pub fn calibrate(settings: &Settings) -> anyhow::Result<Calibration> {
    let computing = model::compute_device(&settings.device)?;
    computing.check(settings.precision)?;
    std::fs::create_dir_all(&settings.scratch)?;
    let calibration = measure(&computing, settings.precision, &settings.scratch)?;
    std::fs::write(
        &settings.calibration,
        serde_json::to_vec_pretty(&calibration)?,
    )?;
    Ok(calibration)
}

fn measure(
    computing: &ComputeDevice,
    precision: Precision,
    scratch: &Path,
) -> Result<Calibration, Error> {
    let device = &computing.device;
    let has_bf16 = computing.check(Precision::Bf16).is_ok();
    let mut rates = Vec::new();
    for (backbone, size) in [(NARROW, NARROW_SIZE), (WIDE, WIDE_SIZE)] {
        let folder = tempfile::tempdir_in(scratch).map_err(Error::file(scratch))?;
        rates.extend(rates_of(
            backbone,
            &size,
            folder.path(),
            (computing, precision),
        )?);
    }
    Ok(Calibration {
        device: computing.name.clone(),
        precision: precision.name().to_owned(),
        n_threads: n_cores(),
        gemm_f32: model::gemm_peak(device, Precision::F32),
        gemm_bf16: has_bf16.then(|| model::gemm_peak(device, Precision::Bf16)),
        rates,
    })
}

/// Trains one job and divides the time of its parts by their work.
fn rates_of(
    backbone: RandomBackbone,
    size: &Size,
    folder: &Path,
    (computing, precision): (&ComputeDevice, Precision),
) -> Result<Vec<Rate>, Error> {
    let (n_embd, data) = (backbone.n_embd, folder.join("interactions.csv"));
    std::fs::write(&data, interactions(size)).map_err(Error::file(&data))?;
    let (dataset, _) = dataset::import(&data, &ImportOptions::default()).map_err(Error::Data)?;
    let (spec, device) = (spec(backbone, size), computing.device.clone());
    let input = Input {
        precision,
        ..Input::alone(spec, new_folder(folder, "dataset")?, folder, device)
    };
    dataset.write(&input.dataset).map_err(Error::Data)?;
    let (
        mut progress,
        Watch {
            progress: watched, ..
        },
    ) = Progress::new(&computing.name, CancellationToken::new());
    train(&input, &mut progress)?;
    let manifest = &dataset.manifest;
    let counts = Counts {
        n_users: manifest.n_users,
        n_items: manifest.n_items,
        n_train: manifest.n_train,
        n_valid: manifest.n_valid,
        n_test: manifest.n_test,
        text_lengths: manifest.text_lengths.clone(),
    };
    let operations = domain::operations(&input.spec, &counts).unwrap_or_default();
    let watched = watched.borrow();
    let rate = |(&part, spent): (&Part, &domain::Spent)| {
        let n_operations = operations.get(&part).copied().filter(|n| *n > 0.0)?;
        let seconds = spent.seconds / n_operations;
        Some(Rate {
            part,
            n_embd,
            seconds,
            tokens_per_second: spent.n_tokens / spent.seconds,
        })
    };
    Ok(watched.parts.iter().filter_map(rate).collect())
}

/// The default job, with each of its stages once and a few texts only.
fn spec(backbone: RandomBackbone, size: &Size) -> TrainSpec {
    let mut spec = TrainSpec::new(DatasetId::new("calibration").expect("a plain word is an id"));
    spec.backbone = Backbone::Random(backbone);
    spec.pretraining.documents_per_epoch = size.n_documents;
    spec.pretraining.with_content = false;
    spec.finetuning.epochs = 1;
    spec
}

/// Histories of a dozen items, two of them held out, each of the first with a text of forty words.
fn interactions(size: &Size) -> String {
    const HISTORY: usize = 14;
    const N_WORDS: usize = 40;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut rows = "user_id,item_id,timestamp,split,text\n".to_owned();
    for user in 0..size.n_users {
        for (place, item) in rand::seq::index::sample(&mut rng, size.n_items, HISTORY)
            .into_iter()
            .enumerate()
        {
            let split = match place {
                12 => "valid",
                13 => "test",
                _ => "train",
            };
            let has_text = place == 0 && user < 2 * size.n_documents;
            let n_words = if has_text { N_WORDS } else { 0 };
            let words: Vec<String> = (0..n_words)
                .map(|_| format!("word{}", rng.random_range(0..500)))
                .collect();
            let text = words.join(" ");
            writeln!(rows, "u{user:04},i{item:04},{place},{split},{text}")
                .expect("a string takes all");
        }
    }
    rows
}

/// What was measured before, on this device, with this precision and as many cores; `None`
/// otherwise.
pub(crate) fn read(path: &Path, device: &str, precision: Precision) -> Option<Calibration> {
    let bytes = std::fs::read(path).ok()?;
    let calibration: Calibration = match serde_json::from_slice(&bytes) {
        Ok(calibration) => calibration,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the calibration cannot be read; measure it again");
            return None;
        }
    };
    let found = (
        &*calibration.device,
        &*calibration.precision,
        calibration.n_threads,
    );
    if found != (device, precision.name(), n_cores()) {
        tracing::warn!(path = %path.display(), ?found, "the calibration is another machine's; measure it again");
        return None;
    }
    Some(calibration)
}
