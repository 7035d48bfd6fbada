//! `quality`: trains what `quality/grid.toml` asks for and writes
//! `docs/quality.md` from what came out.
//!
//! Run by `make quality` and, without training, by CI.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool"
)]

/// What is wanted: variants, data sets and seeds.
mod grid;
/// What there is: one line a cell, only ever appended to.
mod results;

/// Starts a process for each cell that is missing.
mod fill;

/// Trains and measures one cell in such a process.
mod cell;

/// Makes the page from grid and results.
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::fill::Fill;
use crate::grid::Grid;
use crate::results::Results;

/// Trains the cells of a grid that have no result yet, and writes the page
/// about all of them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// What is wanted: variants, data sets and seeds.
    #[arg(long, global = true, default_value = "quality/grid.toml")]
    grid: PathBuf,

    /// What came out: one JSON line a cell.
    #[arg(long, global = true, default_value = "quality/results.jsonl")]
    results: PathBuf,

    /// What is said about it in words; follows the tables.
    #[arg(long, global = true, default_value = "quality/conclusions.md")]
    conclusions: PathBuf,

    /// The page that is written or checked.
    #[arg(long, global = true, default_value = "docs/quality.md")]
    page: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Train what is missing, then write the page.
    Run {
        /// Folder with the data sets that do not ship with the project, one
        /// folder each.
        #[arg(long, default_value = "")]
        data_root: String,

        /// Only variants whose name contains this.
        #[arg(long, default_value = "")]
        only: String,

        /// Cells trained at the same time; each gets its share of the cores.
        #[arg(long, default_value_t = 1)]
        parallel: usize,

        /// The device that computes.
        #[arg(long, default_value = "auto")]
        device: String,
    },

    /// Write the page from the results.
    Report,

    /// Fail unless the page is what the results give.
    Check,

    /// Train one cell and print its line; for `run`.
    #[command(hide = true)]
    Cell(cell::Arguments),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::Cell(cell) => cell::measure(cell),
        Command::Run {
            data_root,
            only,
            parallel,
            device,
        } => {
            let grid = Grid::read(&arguments.grid)?;
            let fill = Fill {
                data_root: Path::new(data_root),
                only,
                parallel: *parallel,
                device,
            };
            fill.fill(&grid, &arguments.results)?;
            write_page(&arguments)
        }
        Command::Report => write_page(&arguments),
        Command::Check => check_page(&arguments),
    }
}

fn write_page(arguments: &Arguments) -> anyhow::Result<()> {
    let page = page(arguments)?;
    std::fs::write(&arguments.page, page).context("the page cannot be written")
}

fn check_page(arguments: &Arguments) -> anyhow::Result<()> {
    let found = std::fs::read_to_string(&arguments.page)
        .context("the page cannot be read")?;
    if found != page(arguments)? {
        bail!(
            "{} is not what {} gives: run `make quality-report`",
            arguments.page.display(),
            arguments.results.display()
        );
    }
    Ok(())
}

fn page(arguments: &Arguments) -> anyhow::Result<String> {
    let grid = Grid::read(&arguments.grid)?;
    let results = Results::read(&arguments.results)?;
    let conclusions = std::fs::read_to_string(&arguments.conclusions)
        .context("the conclusions cannot be read")?;
    Ok(report::page::page(&grid, &results, &conclusions))
}
