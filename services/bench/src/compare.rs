//! This project and the reference in turn, on the same weights and the same batches.
//!
//! A ratio counts only where both print the same losses: then both have done the same work.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use domain::RandomBackbone;
use model::{
    Precision, Tables, compute_device, has_own_memory, random_backbone, save_backbone,
    write_tensors,
};
use serde_json::{Value, json};

use crate::batches::{Data, Workload};
use crate::machine::{self, peak_memory};
use crate::stage::Measured;

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    workload: Workload,

    /// Where the weights are kept; written when they are not there.
    #[arg(long, default_value = "target/bench")]
    weights: PathBuf,

    /// Width x layers x heads of random weights.
    #[arg(long, default_value = "768x12x12")]
    backbone: String,

    /// What computes, with commas between; all that this build has when empty.
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,

    /// `f32`, `bf16` or both with a comma between; a device that does not have one in hardware is
    /// left out.
    #[arg(long, value_parser = machine::precision, value_delimiter = ',', default_value = "f32")]
    precisions: Vec<Precision>,

    /// Stages, with commas between.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "content,collaborative,recommend,predict"
    )]
    stages: Vec<String>,

    /// A program that takes the same weights and batches; it is given --data, --weights, --stage,

    /// --steps, --batch and --threads.
    #[arg(long, default_value = "")]
    reference: String,

    /// How often each stage is measured, in turn; times are summed.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// Losses that are this close come from the same work.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        // Half of the step from one number to the next.
        Precision::Bf16 => 4e-3,
    }
}

fn same_losses(one: &Measured, other: &Measured, tolerance: f64) -> bool {
    let is_same = |(one, other): (&f64, &f64)| (one - other).abs() <= tolerance * other.abs();
    one.losses.len() == other.losses.len() && one.losses.iter().zip(&other.losses).all(is_same)
}

/// Measures everything and prints a line for each stage and system.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = Data::read(&arguments.workload.data)?;
    write_weights(arguments, &data)?;
    let devices = if arguments.devices.is_empty() {
        model::available_devices()
    } else {
        arguments.devices.clone()
    };
    let computing = computing(arguments, &devices)?;
    for Computing {
        device,
        precision,
        peak,
        ..
    } in &computing
    {
        let (gflops, threads) = ((peak / 1e9).round(), arguments.workload.threads);
        println!(
            "{}",
            json!({"device": device, "precision": precision, "gemm_gflops": gflops, "threads": threads})
        );
    }
    for stage in &arguments.stages {
        if stage == "content" && !data.has_texts() {
            eprintln!(
                "no reviews.jsonl.gz in {}: there is no content stage to time",
                arguments.workload.data.display()
            );
            continue;
        }
        let mut systems: Vec<System> = computing
            .iter()
            .map(|on| System::ours(arguments, stage, on))
            .collect();
        if !arguments.reference.is_empty() {
            systems.insert(0, System::reference(arguments, stage));
        }
        for _ in 0..arguments.rounds {
            for system in &mut systems {
                system.measure()?;
            }
        }
        let reference = systems.iter().find(|system| system.computing.is_none());
        for system in &systems {
            for place in 0..system.lines.len() {
                println!("{}", system.line(place, reference));
            }
        }
    }
    Ok(())
}

/// The weights in the form that the reference reads.
fn write_weights(arguments: &Arguments, data: &Data) -> anyhow::Result<()> {
    if arguments.weights.join("tables.safetensors").exists() {
        return Ok(());
    }
    let numbers: Vec<usize> = arguments
        .backbone
        .split('x')
        .filter_map(|number| number.parse().ok())
        .collect();
    let &[n_embd, n_layer, n_head] = &*numbers else {
        bail!(
            "--backbone is `{}`; it should be width x layers x heads, as in 768x12x12",
            arguments.backbone
        );
    };
    let shape = RandomBackbone {
        n_embd,
        n_layer,
        n_head,
        n_positions: 1024,
        ..RandomBackbone::default()
    };
    let (config, gpt2) = random_backbone(&shape, &compute_device("flex")?.device);
    save_backbone(&arguments.weights.join("backbone"), &config, &gpt2)?;
    let tables = Tables::normal(data.n_users, data.n_items, n_embd, 0);
    write_tensors(
        &arguments.weights.join("tables.safetensors"),
        &tables.tensors(""),
    )?;
    Ok(())
}

/// What computes, and the highest rate that its products of matrices reached in this run.
#[derive(Clone)]
struct Computing {
    device: String,
    precision: Precision,
    is_card: bool,
    peak: f64,
}

fn computing(arguments: &Arguments, devices: &[String]) -> anyhow::Result<Vec<Computing>> {
    let mut computing = Vec::new();
    for (device, &precision) in devices
        .iter()
        .flat_map(|device| arguments.precisions.iter().map(move |p| (device, p)))
    {
        let found = compute_device(device)?;
        match found.check(precision) {
            Ok(()) => {
                let (is_card, peak) = (
                    has_own_memory(&found.device),
                    peak(arguments, device, precision)?,
                );
                computing.push(Computing {
                    device: device.clone(),
                    precision,
                    is_card,
                    peak,
                });
            }
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    Ok(computing)
}

fn peak(arguments: &Arguments, device: &str, precision: Precision) -> anyhow::Result<f64> {
    let threads = arguments.workload.threads.to_string();
    let options = [
        "peak",
        "--device",
        device,
        "--precision",
        precision.name(),
        "--threads",
        &threads,
    ];
    let output = Command::new(std::env::current_exe()?)
        .args(options)
        .output()?;
    let rate = String::from_utf8_lossy(&output.stdout);
    rate.trim().parse().with_context(|| {
        format!(
            "no rate of {device}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// A program that measures a stage.
struct System {
    name: String,
    /// Absent for the reference.
    computing: Option<Computing>,
    command: Vec<String>,
    /// One for each line that it prints: the ranking stage has two.
    lines: Vec<Line>,
}

/// What it said, over all rounds.
struct Line {
    measured: Measured,
    peak_memory: u64,
}

impl System {
    fn ours(arguments: &Arguments, stage: &str, computing: &Computing) -> Self {
        let program = std::env::current_exe()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        let (device, precision) = (&*computing.device, computing.precision.name());
        let command = [
            &*program,
            "stage",
            "--device",
            device,
            "--precision",
            precision,
        ]
        .map(str::to_owned)
        .to_vec();
        let name = format!("cllm4rec {device} {precision}");
        Self {
            name,
            computing: Some(computing.clone()),
            command,
            lines: Vec::new(),
        }
        .of(arguments, stage)
    }

    fn reference(arguments: &Arguments, stage: &str) -> Self {
        let command = arguments
            .reference
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        Self {
            name: "reference".to_owned(),
            computing: None,
            command,
            lines: Vec::new(),
        }
        .of(arguments, stage)
    }

    fn of(mut self, arguments: &Arguments, stage: &str) -> Self {
        let path = |path: &Path| path.display().to_string();
        let options = [
            ("--data", path(&arguments.workload.data)),
            ("--weights", path(&arguments.weights)),
            ("--stage", stage.to_owned()),
            ("--steps", arguments.workload.steps.to_string()),
            ("--batch", arguments.workload.batch.to_string()),
            ("--threads", arguments.workload.threads.to_string()),
        ];
        self.command.extend(
            options
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value]),
        );
        self
    }

    /// Runs the program once; its memory is read while it lives.
    fn measure(&mut self) -> anyhow::Result<()> {
        let (program, arguments) = self.command.split_first().context("an empty command")?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let output = process.stdout.take().context("the output is piped")?;
        let printed = std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .collect::<Result<Vec<_>, _>>()
        });
        let mut peak = 0;
        let status = loop {
            peak = peak.max(peak_memory(process.id()).unwrap_or(0));
            if let Some(status) = process.try_wait()? {
                break status;
            }
            std::thread::sleep(MEMORY_IS_READ_EVERY);
        };
        if !status.success() {
            bail!("{} ended with {status}", self.command.join(" "));
        }
        let printed = printed
            .join()
            .ok()
            .context("the output could not be collected")??;
        for (place, line) in printed.iter().enumerate() {
            let measured = serde_json::from_str(line)
                .with_context(|| format!("{} printed {line}", self.name))?;
            self.add(place, measured, peak)?;
        }
        Ok(())
    }

    /// How far a loss may be from the same one in another round. A CPU repeats itself, a card adds
    /// in any order; where the reference computes is not known.
    fn between_rounds(&self) -> f64 {
        match &self.computing {
            Some(Computing { is_card: false, .. }) => 0.0,
            Some(computing) => tolerance(computing.precision),
            None => tolerance(Precision::F32),
        }
    }

    fn add(&mut self, place: usize, measured: Measured, peak_memory: u64) -> anyhow::Result<()> {
        let between_rounds = self.between_rounds();
        let Some(line) = self.lines.get_mut(place) else {
            self.lines.push(Line {
                measured,
                peak_memory,
            });
            return Ok(());
        };
        if !same_losses(&line.measured, &measured, between_rounds) {
            bail!("{} printed other losses in another round", self.name);
        }
        line.measured.seconds += measured.seconds;
        line.measured.real_tokens = line
            .measured
            .real_tokens
            .zip(measured.real_tokens)
            .map(|(a, b)| a + b);
        line.measured.users = line.measured.users.zip(measured.users).map(|(a, b)| a + b);
        line.measured.operations = line
            .measured
            .operations
            .zip(measured.operations)
            .map(|(a, b)| a + b);
        line.peak_memory = line.peak_memory.max(peak_memory);
        Ok(())
    }

    fn line(&self, place: usize, reference: Option<&Self>) -> Value {
        let Line {
            measured,
            peak_memory,
        } = &self.lines[place];
        let rate =
            |n: Option<usize>| n.map(|n| (n as f64 / measured.seconds * 10.0).round() / 10.0);
        let mut line = json!({
            "system": self.name,
            "stage": measured.stage,
            "seconds": (measured.seconds * 1e4).round() / 1e4,
            "peak_memory_mb": peak_memory / 1_000_000,
            "losses": measured.losses,
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                line[name] = value;
            }
        };
        add("batch", measured.batch.map(Value::from));
        add("real_tokens", measured.real_tokens.map(Value::from));
        add(
            "tokens_per_second",
            rate(measured.real_tokens).map(Value::from),
        );
        add("users_per_second", rate(measured.users).map(Value::from));
        let Some(Computing {
            peak, precision, ..
        }) = &self.computing
        else {
            return line;
        };
        let share = measured
            .operations
            .map(|operations| operations / measured.seconds / peak);
        add(
            "share_of_gemm_peak",
            share.map(|share| json!((share * 1e3).round() / 1e3)),
        );
        if let Some(reference) = reference.and_then(|system| system.lines.get(place)) {
            add(
                "ratio",
                Some(ratio(measured, &reference.measured, *precision)),
            );
        }
        line
    }
}

/// How often a process's memory is looked at; its high-water mark is kept by the system.
const MEMORY_IS_READ_EVERY: Duration = Duration::from_millis(20);

/// How many times faster, or why that cannot be said.
fn ratio(measured: &Measured, reference: &Measured, precision: Precision) -> Value {
    if !(same_losses(measured, reference, tolerance(precision))
        && measured.users == reference.users)
    {
        return json!("none: the losses or users are not the reference's");
    }
    json!((reference.seconds / measured.seconds * 100.0).round() / 100.0)
}
