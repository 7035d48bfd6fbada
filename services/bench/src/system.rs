//! A program that measures a stage: this one on some device, or the reference.

use std::io::{BufRead, BufReader};
use std::ops::Add;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use model::Precision;
use serde_json::{Value, json};

use crate::batches::WorkSize;
use crate::computing::Computing;
use crate::machine::peak_memory;
use crate::stage::Measured;

/// Which stage is measured, on which work.
pub(crate) struct StageCall<'a> {
    pub(crate) work: &'a WorkSize,
    pub(crate) weights: &'a Path,
    pub(crate) stage: &'a str,
}

/// A program that measures a stage, and what it has measured.
pub(crate) struct System {
    name: String,
    /// Absent for the reference.
    computing: Option<Computing>,
    /// The program and its arguments.
    command: Vec<String>,
    /// One for each line that it prints: the ranking stage has two.
    lines: Vec<Totals>,
}

/// What one of its lines said, over all rounds.
struct Totals {
    measured: Measured,
    /// Most memory of the process, in bytes.
    peak_memory: u64,
}

impl StageCall<'_> {
    /// What both programs are given.
    fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for (name, value) in [
            ("--data", self.work.data.display().to_string()),
            ("--weights", self.weights.display().to_string()),
            ("--stage", self.stage.to_owned()),
            ("--steps", self.work.steps.to_string()),
            ("--batch", self.work.batch.to_string()),
            ("--threads", self.work.threads.to_string()),
        ] {
            options.push(name.to_owned());
            options.push(value);
        }

        options
    }
}

impl System {
    /// This program, on a device.
    pub(crate) fn ours(computing: &Computing, call: &StageCall<'_>) -> Self {
        let program =
            std::env::current_exe().map(|path| path.display().to_string());
        let program = program.unwrap_or_default();
        let (device, precision) =
            (&*computing.device, computing.precision.name());
        let words = ["stage", "--device", device, "--precision", precision];
        let mut command = vec![program];
        command.extend(words.map(str::to_owned));
        command.extend(call.options());
        Self {
            name: format!("cllm4rec {device} {precision}"),
            computing: Some(computing.clone()),
            command,
            lines: Vec::new(),
        }
    }

    /// The program that this one is compared with, as a command line.
    pub(crate) fn reference(program: &str, call: &StageCall<'_>) -> Self {
        let words = program.split_whitespace();
        let mut command: Vec<String> = words.map(str::to_owned).collect();
        command.extend(call.options());
        Self {
            name: "reference".to_owned(),
            computing: None,
            command,
            lines: Vec::new(),
        }
    }

    pub(crate) fn is_reference(&self) -> bool {
        self.computing.is_none()
    }

    /// Runs the program once; its memory is read while it lives.
    pub(crate) fn measure(&mut self) -> anyhow::Result<()> {
        let (program, arguments) =
            self.command.split_first().context("an empty command")?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let output = process.stdout.take().context("the output is piped")?;
        let lines = BufReader::new(output).lines();
        let reading = std::thread::spawn(move || {
            lines.collect::<Result<Vec<String>, _>>()
        });

        let ended = watch(&mut process)?;
        if !ended.status.success() {
            bail!("{} ended with {}", self.command.join(" "), ended.status);
        }

        let printed = reading.join().ok();
        let printed =
            printed.context("the output could not be collected")??;
        for (place, line) in printed.iter().enumerate() {
            let measured = serde_json::from_str(line);
            let line = Totals {
                measured: measured
                    .with_context(|| format!("{} printed {line}", self.name))?,
                peak_memory: ended.peak_memory,
            };
            self.add(place, line)?;
        }

        Ok(())
    }

    fn add(&mut self, place: usize, line: Totals) -> anyhow::Result<()> {
        let tolerance = self.between_rounds();
        let Some(before) = self.lines.get_mut(place) else {
            self.lines.push(line);
            return Ok(());
        };
        if !same_losses(&before.measured, &line.measured, tolerance) {
            bail!("{} printed other losses in another round", self.name);
        }

        before.add(&line);
        Ok(())
    }

    /// How far a loss may be from the same one in another round. A CPU repeats
    /// itself, a card adds in any order; where the reference computes is not
    /// known.
    fn between_rounds(&self) -> f64 {
        match &self.computing {
            Some(computing) if !computing.is_card => 0.0,
            Some(computing) => tolerance(computing.precision),
            None => tolerance(Precision::F32),
        }
    }

    /// The lines that are printed, with ratios where there is a reference.
    pub(crate) fn lines(&self, reference: Option<&Self>) -> Vec<Value> {
        let mut lines = Vec::new();
        for (place, own) in self.lines.iter().enumerate() {
            let mut line = own.json(&self.name);
            if let Some(computing) = &self.computing {
                let share = own.measured.share_of(computing.peak);
                add(&mut line, "share_of_gemm_peak", share);

                let reference =
                    reference.and_then(|system| system.lines.get(place));
                let ratio = reference.map(|reference| {
                    ratio(
                        &own.measured,
                        &reference.measured,
                        computing.precision,
                    )
                });
                add(&mut line, "ratio", ratio);
            }

            lines.push(line);
        }

        lines
    }
}

/// How a process came to its end.
struct Ended {
    status: ExitStatus,
    /// Most memory that it held, in bytes.
    peak_memory: u64,
}

/// How often a process's memory is looked at; its high-water mark is kept by
/// the system.
const MEMORY_IS_READ_EVERY: Duration = Duration::from_millis(20);

fn watch(process: &mut Child) -> anyhow::Result<Ended> {
    let mut peak = 0;
    loop {
        peak = peak.max(peak_memory(process.id()).unwrap_or(0));
        if let Some(status) = process.try_wait()? {
            return Ok(Ended {
                status,
                peak_memory: peak,
            });
        }

        std::thread::sleep(MEMORY_IS_READ_EVERY);
    }
}

impl Totals {
    /// Adds what another round measured.
    fn add(&mut self, other: &Self) {
        let (sum, measured) = (&mut self.measured, &other.measured);
        sum.seconds += measured.seconds;
        sum.real_tokens = both(sum.real_tokens, measured.real_tokens);
        sum.users = both(sum.users, measured.users);
        sum.operations = both(sum.operations, measured.operations);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
    }

    fn json(&self, system: &str) -> Value {
        let measured = &self.measured;
        let mut line = json!({
            "system": system,
            "stage": measured.stage,
            "seconds": (measured.seconds * 1e4).round() / 1e4,
            "peak_memory_mb": self.peak_memory / 1_000_000,
            "losses": measured.losses,
        });
        add(&mut line, "batch", measured.batch);
        add(&mut line, "real_tokens", measured.real_tokens);
        let tokens_per_second = measured.a_second(measured.real_tokens);
        add(&mut line, "tokens_per_second", tokens_per_second);
        let users_per_second = measured.a_second(measured.users);
        add(&mut line, "users_per_second", users_per_second);
        line
    }
}

impl Measured {
    /// A number as a rate, with one digit.
    fn a_second(&self, n: Option<usize>) -> Option<f64> {
        let rate = n? as f64 / self.seconds;
        Some((rate * 10.0).round() / 10.0)
    }

    /// Which share of a rate of operations was reached, with three digits.
    fn share_of(&self, peak: f64) -> Option<f64> {
        let share = self.operations? / self.seconds / peak;
        Some((share * 1e3).round() / 1e3)
    }
}

/// The sum, where both are there.
fn both<T: Add<Output = T>>(one: Option<T>, other: Option<T>) -> Option<T> {
    Some(one? + other?)
}

/// Adds a field that is there.
fn add(line: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        line[name] = value.into();
    }
}

/// How many times faster, or why that cannot be said.
fn ratio(
    measured: &Measured,
    reference: &Measured,
    precision: Precision,
) -> Value {
    let same_users = measured.users == reference.users;
    if !same_users || !same_losses(measured, reference, tolerance(precision)) {
        return json!("none: the losses or users are not the reference's");
    }
    json!((reference.seconds / measured.seconds * 100.0).round() / 100.0)
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
    if one.losses.len() != other.losses.len() {
        return false;
    }
    let mut pairs = one.losses.iter().zip(&other.losses);
    pairs.all(|(one, other)| (one - other).abs() <= tolerance * other.abs())
}
