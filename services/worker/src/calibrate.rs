//! How fast a machine is: small jobs are trained, and their time is divided by
//! their work.
//!
//! `cllm4rec worker calibrate` writes what comes out to the file that a worker
//! sends to the coordinator when it asks for work; from it `validate_only` says
//! how long a job will take.

use std::fmt::Write;
use std::path::Path;

use dataset::{Dataset, ImportOptions};
use domain::{
    Backbone, Body, Calibration, Counts, DatasetId, Part, RandomBackbone, Rate,
    TrainSpec, ValuePath,
};
use model::{ComputeDevice, Precision, n_cores};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

use crate::contract::input::Input;
use crate::contract::progress::Progress;
use crate::disk;
use crate::error::Error;
use crate::settings::Settings;
use crate::training::train::train;

/// A job that is trained to measure the machine.
struct Trial {
    backbone: RandomBackbone,
    n_users: usize,
    n_items: usize,
    n_documents: usize,
}

/// What computes, and in what.
struct Machine {
    computing: ComputeDevice,
    precision: Precision,
}

/// The trials, one for each backbone that the parts are measured with; users
/// and items about as the shipped data sets have them. A wide backbone's job is
/// a small one: what does not depend on the backbone is known by then. Larger
/// ones take as long for an operation as the largest here.
const TRIALS: [Trial; 2] = [
    Trial {
        backbone: RandomBackbone {
            warmup_epochs: 1,
            ..backbone(256, 1, 4)
        },
        n_users: 800,
        n_items: 2_000,
        n_documents: 100,
    },
    Trial {
        backbone: backbone(768, 2, 12),
        n_users: 160,
        n_items: 2_000,
        n_documents: 20,
    },
];

const fn backbone(
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
) -> RandomBackbone {
    RandomBackbone {
        n_embd,
        n_layer,
        n_head,
        n_positions: 512,
        seed: 0,
        value_path: ValuePath::NearIdentity,
        warmup_epochs: 0,
    }
}

/// Measures a worker's device by training on it and keeps what comes out where
/// the worker's settings say. A minute or so; nothing else should run
/// meanwhile.
pub fn calibrate(settings: &Settings) -> anyhow::Result<Calibration> {
    let computing = model::compute_device(&settings.device)?;
    computing.check(settings.precision)?;
    std::fs::create_dir_all(&settings.scratch)?;
    let machine = Machine {
        computing,
        precision: settings.precision,
    };
    let calibration = measure(&machine, &settings.scratch)?;
    let bytes = serde_json::to_vec_pretty(&calibration)?;
    std::fs::write(&settings.calibration, bytes)?;
    Ok(calibration)
}

fn measure(machine: &Machine, scratch: &Path) -> Result<Calibration, Error> {
    let computing = &machine.computing;
    let device = &computing.device;
    let has_bf16 = computing.check(Precision::Bf16).is_ok();
    let mut rates = Vec::new();
    for trial in &TRIALS {
        let folder = disk::scratch_folder(scratch)?;
        rates.extend(rates_of(trial, machine, folder.path())?);
    }
    Ok(Calibration {
        device: computing.name.clone(),
        precision: machine.precision.name().to_owned(),
        n_threads: n_cores(),
        gemm_f32: model::gemm_peak(device, Precision::F32),
        gemm_bf16: has_bf16.then(|| model::gemm_peak(device, Precision::Bf16)),
        rates,
    })
}

/// Trains one job and divides the time of its parts by their work.
fn rates_of(
    trial: &Trial,
    machine: &Machine,
    folder: &Path,
) -> Result<Vec<Rate>, Error> {
    let dataset = import(trial, folder)?;
    let device = machine.computing.device.clone();
    let data = folder.join("dataset");
    disk::new_folder(&data)?;
    dataset.write(&data).map_err(Error::Data)?;
    let input = Input {
        precision: machine.precision,
        ..Input::alone(spec(trial), data, folder, device)
    };
    let stop = CancellationToken::new();
    let (mut progress, watch) = Progress::new(&machine.computing.name, stop);
    train(&input, &mut progress)?;
    let body = Body::from(&trial.backbone);
    let operations = domain::operations(&input.spec, &counts(&dataset), &body);
    let operations = operations.unwrap_or_default();
    let mut rates = Vec::new();
    for (&part, spent) in &watch.progress.borrow().parts {
        let n_operations = operations.get(&part).copied().unwrap_or_default();
        if n_operations > 0.0 {
            rates.push(Rate {
                part,
                n_embd: trial.backbone.n_embd,
                block_weights: body.block_weights(),
                seconds: spent.seconds / n_operations,
                tokens_per_second: spent.n_tokens / spent.seconds,
            });
        }
    }
    test_as_validation(&mut rates);
    Ok(rates)
}

/// Gives the test split the rate of the validation split, where as much is done
/// for a user. How often a trial passes it depends on what it chooses, of which
/// nothing follows on random data.
fn test_as_validation(rates: &mut [Rate]) {
    let validation = rates.iter().find(|rate| rate.part == Part::Validation);
    let Some(seconds) = validation.map(|rate| rate.seconds) else {
        return;
    };
    for rate in rates {
        if rate.part == Part::Test {
            rate.seconds = seconds;
        }
    }
}

/// The default job, with each of its stages once and a few texts only.
fn spec(trial: &Trial) -> TrainSpec {
    let mut spec = TrainSpec::new(
        DatasetId::new("calibration").expect("a plain word is an id"),
    );
    spec.backbone = Backbone::Random(trial.backbone.clone());
    spec.pretraining.documents_per_epoch = trial.n_documents;
    spec.pretraining.with_content = false;
    spec.finetuning.epochs = 1;
    spec
}

fn counts(dataset: &Dataset) -> Counts {
    let manifest = &dataset.manifest;
    Counts {
        n_users: manifest.n_users,
        n_items: manifest.n_items,
        n_train: manifest.n_train,
        n_valid: manifest.n_valid,
        n_test: manifest.n_test,
        text_lengths: manifest.text_lengths.clone(),
    }
}

fn import(trial: &Trial, folder: &Path) -> Result<Dataset, Error> {
    let path = folder.join("interactions.csv");
    disk::write(&path, interactions(trial).as_bytes())?;
    let options = ImportOptions::default();
    let (dataset, _) = dataset::import(&path, &options).map_err(Error::Data)?;
    Ok(dataset)
}

/// Items of a user's history; the last two are held out.
const HISTORY: usize = 14;
/// Words of a text.
const N_WORDS: usize = 40;

/// Random histories in CSV; the first item of the first users has a text.
fn interactions(trial: &Trial) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut rows = "user_id,item_id,timestamp,split,text\n".to_owned();
    for user in 0..trial.n_users {
        let items = rand::seq::index::sample(&mut rng, trial.n_items, HISTORY);
        for (place, item) in items.into_iter().enumerate() {
            let split = match place {
                12 => "valid",
                13 => "test",
                _ => "train",
            };
            let mut text = String::new();
            if place == 0 && user < 2 * trial.n_documents {
                text = random_text(&mut rng);
            }
            writeln!(rows, "u{user:04},i{item:04},{place},{split},{text}")
                .expect("a string takes all");
        }
    }
    rows
}

fn random_text(rng: &mut ChaCha8Rng) -> String {
    let mut words = Vec::with_capacity(N_WORDS);
    for _ in 0..N_WORDS {
        words.push(format!("word{}", rng.random_range(0..500)));
    }
    words.join(" ")
}

/// What was measured before, on this device, with this precision and as many
/// cores; `None` otherwise.
pub(crate) fn read(
    path: &Path,
    device: &str,
    precision: Precision,
) -> Option<Calibration> {
    let bytes = std::fs::read(path).ok()?;
    let path = path.display().to_string();
    let calibration: Calibration = match serde_json::from_slice(&bytes) {
        Ok(calibration) => calibration,
        Err(error) => {
            tracing::warn!(
                path,
                %error,
                "the calibration cannot be read; measure it again"
            );
            return None;
        }
    };
    if calibration.rates.iter().any(Rate::is_counted_otherwise) {
        tracing::warn!(
            path,
            "an earlier version measured the calibration; measure it again"
        );
        return None;
    }
    let is_own = calibration.device == device
        && calibration.precision == precision.name()
        && calibration.n_threads == n_cores();
    if !is_own {
        let Calibration {
            device,
            precision,
            n_threads,
            ..
        } = &calibration;
        tracing::warn!(
            path,
            device,
            precision,
            n_threads,
            "the calibration is another machine's; measure it again"
        );
        return None;
    }
    Some(calibration)
}
