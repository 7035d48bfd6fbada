//! `bench`: how fast this project trains and ranks, beside a program that does
//! the same work.
//!
//! Run by `make bench`, `bench-smoke`, `bench-large` and `profile`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

/// A data set as both programs read it.
mod data_set;

/// The steps that both programs take: which users, items and texts, in which
/// order.
mod batches;

/// What the machine could do at most, and what a process took of it.
mod machine;

// Beside the reference.

/// Measures one stage on one device, in a process of its own.
mod stage;

/// What both programs start from: a decoder and tables.
mod weights;

/// Which devices and precisions compute, and how fast they could.
mod computing;

/// A program that measures a stage: this one or the reference.
mod system;

/// Runs the programs in turn and prints their lines.
mod compare;

// By itself.

/// Counts a step's work instead of timing it.
mod smoke;

/// Times the same steps on more and more users.
mod scale;

/// Imports many users' rows and starts a job on them.
mod large;

/// Scores a large catalogue.
mod catalogue;

/// Says where a stage's time goes.
mod profile;

use clap::{Parser, Subcommand};

/// Measures training steps and ranking; one JSON line a stage and device.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure all stages on all devices, and the reference beside them.
    Run(compare::Arguments),

    /// Count the work of a step on a small model; fails when it has grown.
    Smoke(smoke::Arguments),

    /// Time the same steps on more and more users.
    Scale(scale::Arguments),

    /// Import many users' rows and start a job on them.
    Large(large::Arguments),

    /// Score a large catalogue, beside what the machine reads from memory.
    Catalogue(catalogue::Arguments),

    /// Say where a stage's time goes.
    Profile(profile::Arguments),

    /// Measure one stage on one device and print its line; for `run`.
    #[command(hide = true)]
    Stage(stage::Arguments),

    /// Measure what products of matrices reach on one device; for `run`.
    #[command(hide = true)]
    Peak(machine::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => compare::run(&arguments),
        Command::Catalogue(arguments) => catalogue::run(&arguments),
        Command::Large(arguments) => large::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
        Command::Smoke(arguments) => smoke::run(&arguments),
        Command::Stage(arguments) => stage::measure(&arguments),
        Command::Peak(arguments) => machine::print_peak(&arguments),
    }
}
