//! This project and the reference in turn, on the same weights and the same
//! batches.
//!
//! A ratio counts only where both print the same losses: then both have done
//! the same work.

use std::path::PathBuf;

use model::Precision;

use crate::batches::WorkSize;
use crate::computing::{Computing, all_computing};
use crate::data_set::DataSet;
use crate::machine;
use crate::system::{StageCall, System};
use crate::weights::{self, Decoder};

/// What is compared, on which work.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    work: WorkSize,

    /// Where the weights are kept; written when they are not there.
    #[arg(long, default_value = "target/bench")]
    weights: PathBuf,

    /// A decoder's folder or GGUF file; or width x layers x heads of random
    /// weights of the GPT-2 family.
    #[arg(long, default_value = "768x12x12")]
    backbone: Decoder,

    /// What computes, with commas between; all that this build has when empty.
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,

    /// `f32`, `bf16` or both with a comma between; a device that does not have
    /// one in hardware is left out.
    #[arg(long, value_parser = machine::precision, value_delimiter = ',', default_value = "f32")]
    precisions: Vec<Precision>,

    /// Stages, with commas between.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "content,collaborative,recommend,predict"
    )]
    stages: Vec<String>,

    /// A program that takes the same weights and batches; it is given --data,
    /// --weights, --stage,

    /// --steps, --batch and --threads.
    #[arg(long, default_value = "")]
    reference: String,

    /// How often each stage is measured, in turn; times are summed.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// Measures everything and prints a line for each stage and system.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = DataSet::read(&arguments.work.data)?;
    weights::write(&arguments.weights, &arguments.backbone, &data)?;
    let devices = if arguments.devices.is_empty() {
        model::available_devices()
    } else {
        arguments.devices.clone()
    };
    let n_threads = arguments.work.threads;
    let computing = all_computing(&devices, &arguments.precisions, n_threads)?;
    for on in &computing {
        println!("{}", on.line(n_threads));
    }

    for stage in &arguments.stages {
        if stage == "content" && !data.has_texts() {
            eprintln!(
                "no reviews.jsonl.gz in {}: there is no content stage to time",
                arguments.work.data.display()
            );
            continue;
        }

        compare(arguments, stage, &computing)?;
    }

    Ok(())
}

/// Measures one stage with all systems in turn, and prints their lines.
fn compare(
    arguments: &Arguments,
    stage: &str,
    computing: &[Computing],
) -> anyhow::Result<()> {
    let call = StageCall {
        work: &arguments.work,
        weights: &arguments.weights,
        stage,
    };
    let mut systems = Vec::new();
    if !arguments.reference.is_empty() {
        systems.push(System::reference(&arguments.reference, &call));
    }

    for on in computing {
        systems.push(System::ours(on, &call));
    }

    for _ in 0..arguments.rounds {
        for system in &mut systems {
            system.measure()?;
        }
    }

    let reference = systems.iter().find(|system| system.is_reference());
    for system in &systems {
        for line in system.lines(reference) {
            println!("{line}");
        }
    }

    Ok(())
}
