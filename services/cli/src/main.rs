//! `cllm4rec`: try it, run it, drive it.
//!
//! A command is parsed here and carried out in [`commands`], which builds on
//! the other rooms; none of them knows a command.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line cannot be parsed, 3 the job
//! ended without a model.

/// Where the services are and where data sets are kept, from `config.toml` and
/// the environment.
mod settings;

/// What each command does, one file a command.
mod commands;

/// From a file of interactions to a stored data set with its histories
/// recorded.
mod import;
/// From the arguments of `train submit` to a job that is followed to its end.
mod jobs;
/// Lists for many users or items at once, into one file.
mod lists;
/// Coordinator, worker and scorer inside this process.
mod local;
/// Many jobs with different values, and the best of them.
mod tuning;

/// What people type for a job, a model version or a data set.
mod lookup;
/// Resource names as people type them.
mod names;
/// How answers are written: JSON, text and the page of a report.
mod output;
/// Training runs in the tools of others.
mod tracking;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    backbone, calibrate, dataset, demo, gc, history, models, openapi,
    recommend, score, similar, status, train, up,
};
use crate::output::failure;
use crate::output::writer::{self, Output};
use crate::settings::{DEFAULTS, Settings};

/// A production recommender on a language model with user and item tokens
/// (CLLM4Rec).
#[derive(Parser)]
#[command(name = "cllm4rec", version)]
struct Arguments {
    /// Settings over the defaults (TOML).
    #[arg(long, global = true)]
    config: Option<PathBuf>,

    /// Write JSON instead of text.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Coordinator, worker and scorer in one process, everything kept in one
    /// folder.
    Up(up::Arguments),

    /// The whole path on a small data set: import, train through the services,
    /// recommend.
    Demo(demo::Arguments),

    /// Data sets: import, list, show, delete.
    #[command(subcommand)]
    Dataset(dataset::Command),

    /// Language models to train on: add, list, show, remove.
    #[command(subcommand)]
    Backbone(backbone::Command),

    /// Training jobs: submit, tune, watch, list, show, export, cancel, retry.
    #[command(subcommand)]
    Train(train::Command),

    /// The machine that trains: calibrate.
    #[command(subcommand)]
    Worker(calibrate::Command),

    /// Model versions and their labels.
    #[command(subcommand)]
    Models(models::Command),

    /// Remove what nothing needs any more: old jobs, versions, data sets.
    Gc(gc::Arguments),

    /// What the scorer serves, what it could not load and why, and how it
    /// fares.
    Status,

    /// Items for a user, or for everybody.
    Recommend(recommend::Arguments),

    /// What is like an item, like a text, or like each item.
    Similar(similar::Arguments),

    /// How well given items suit a user.
    Score(score::Arguments),

    /// Interaction histories: record, show, delete.
    #[command(subcommand)]
    History(history::Command),

    /// Write what the services answer over HTTP, as OpenAPI 3.1.
    Openapi,

    /// Write a completion script for a shell.
    Completions {
        /// The shell that will read the script.
        shell: clap_complete::Shell,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    service::install_tls_provider();
    let arguments = Arguments::parse();
    // On the heap: a command is as large as all that it may do.
    match Box::pin(run(arguments)).await {
        Ok(code) => code,
        Err(error) => {
            writer::note(format_args!("error: {}", failure::explain(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let is_up = matches!(arguments.command, Command::Up(_));
    let config = arguments.config.as_deref().filter(|_| !is_up);
    let settings: Settings = service::load("cllm4rec", DEFAULTS, config)?;
    let output = Output {
        json: arguments.json,
    };
    if !is_up {
        service::telemetry::start(&settings.log);
    }

    match arguments.command {
        Command::Up(_) if arguments.config.is_some() => bail!(
            "`up` takes its services' settings from the environment (COORDINATOR__…, WORKER__…, SCORER__…, CONSOLE__…), not from --config"
        ),
        Command::Up(arguments) => up::run(&arguments).await?,
        Command::Demo(arguments) => return demo::run(&arguments, output).await,
        Command::Dataset(command) => {
            dataset::run(command, &settings, output).await?
        }
        Command::Backbone(command) => backbone::run(command, output).await?,
        Command::Train(command) => {
            return train::run(command, &settings, output).await;
        }
        Command::Worker(command) => calibrate::run(command, output).await?,
        Command::Models(command) => {
            models::run(command, &settings, output).await?
        }
        Command::Gc(arguments) => {
            gc::run(&arguments, &settings, output).await?
        }
        Command::Status => status::run(&settings, output).await?,
        Command::Recommend(arguments) => {
            recommend::run(arguments, &settings, output).await?
        }
        Command::Similar(arguments) => {
            similar::run(arguments, &settings, output).await?
        }
        Command::Score(arguments) => {
            score::run(arguments, &settings, output).await?
        }
        Command::History(command) => {
            history::run(command, &settings, output).await?
        }
        Command::Openapi => openapi::run(output)?,
        Command::Completions { shell } => write_completions(shell),
    }

    Ok(ExitCode::SUCCESS)
}

fn write_completions(shell: clap_complete::Shell) {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "cllm4rec", &mut script);
    writer::raw(&script);
}
