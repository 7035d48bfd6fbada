//! `dataset`: check, import, list, show, delete.

use std::path::PathBuf;

use clap::Subcommand;
use dataset::{Manifest, date_of};
use domain::ArtifactId;
use ingestion::{Ingested, SeededSplits};
use serde_json::json;
use storage::{Artifacts, Kind};

use crate::import::reading::{ReadData, Reading, read};
use crate::import::seeding::{self, SeedHistories};
use crate::import::store::{forget_histories, store_and_seed};
use crate::import::summary;
use crate::lookup;
use crate::output::plain::minute;
use crate::output::text;
use crate::output::writer::{self, Output};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what an import would read, and what it would warn of; nothing is
    /// stored.
    Check(Box<Check>),

    /// Check a data set, store it under its hash, seed the histories.
    Import(Box<Import>),

    /// All data sets that are stored.
    List,

    /// One data set, by its id or its name.
    Show {
        /// The data set's id, the beginning of it, or its name.
        id: String,
    },

    /// Remove a data set. Models trained on it stay; jobs on it fail.
    Delete {
        /// The data set's id, the beginning of it, or its name.
        id: String,

        /// Take back what it seeded, too.
        #[arg(long)]
        with_histories: bool,
    },
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// A file or folder, as `dataset import` reads it.
    path: PathBuf,

    #[command(flatten)]
    reading: Reading,
}

#[derive(clap::Args)]
pub(crate) struct Import {
    /// A file or folder: CSV and the like, JSON, Parquet, packed or not;
    /// RecBole, MovieLens, Amazon reviews, scipy matrices (docs/data.md).
    path: PathBuf,

    #[command(flatten)]
    reading: Reading,

    /// Which splits become histories.
    #[arg(long, default_value = "all")]
    seed_histories: SeedHistories,
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    if let Command::Check(arguments) = &command {
        return check(arguments, settings, output).await;
    }

    let artifacts = Artifacts::open(&settings.storage)?;
    match command {
        Command::Check(_) => Ok(()),
        Command::Import(arguments) => {
            import(&arguments, settings, output).await
        }
        Command::List => {
            for id in artifacts.list(Kind::Dataset).await? {
                // A damaged one hides no other.
                if let Err(error) = show(output, &artifacts, &id).await {
                    writer::left_out(id.as_str(), &error);
                }
            }

            Ok(())
        }
        Command::Show { id } => {
            let id = found(&artifacts, &id).await?;
            show(output, &artifacts, &id).await
        }
        Command::Delete { id, with_histories } => {
            let id = found(&artifacts, &id).await?;
            let mut n_forgotten = 0;
            if with_histories {
                n_forgotten =
                    forget_histories(&artifacts, &id, settings).await?;
            }
            artifacts.delete(Kind::Dataset, &id).await?;
            let value = json!({ "deleted": id, "n_forgotten": n_forgotten });
            output.write(&value, || {
                format!("deleted {id}, {n_forgotten} history events taken back")
            });
            Ok(())
        }
    }
}

/// The data set that was typed: by its id, the beginning of it, or its name.
async fn found(
    artifacts: &Artifacts,
    typed: &str,
) -> anyhow::Result<ArtifactId> {
    Ok(ArtifactId::new(
        lookup::dataset_in(artifacts, typed).await?,
    )?)
}

async fn import(
    arguments: &Import,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    // Before anything is stored: a store that cannot be opened is found out
    // about first.
    let splits = arguments.seed_histories.into();
    let seeding = seeding::open(settings, splits).await?;
    let mut reading = arguments.reading.clone();
    reading.seeds_nothing = splits == SeededSplits::None;
    let read = read(&arguments.path, &reading, &settings.storage).await?;
    let stored = store_and_seed(&read, seeding, settings).await?;
    show_import(output, &stored, &read);
    Ok(())
}

/// Reads as an import would, and says what came out.
async fn check(
    arguments: &Check,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let Check { path, reading } = arguments;
    let read = read(path, reading, &settings.storage).await?;
    let ReadData { dataset, report } = &read;
    let manifest = &dataset.manifest;
    let value = summary::json(manifest, report);
    output.write(&value, || {
        let first = text::dataset("not stored", manifest);
        format!("{first}{}", summary::text(report))
    });
    Ok(())
}

fn show_import(output: Output, stored: &Ingested, read: &ReadData) {
    let Ingested {
        id,
        n_seeded,
        n_replaced,
    } = stored;
    let ReadData { dataset, report } = read;
    let mut value = summary::json(&dataset.manifest, report);
    value["dataset"] = json!(id);
    value["n_seeded"] = json!(n_seeded);
    value["n_replaced"] = json!(n_replaced);
    output.write(&value, || {
        let mut text = text::dataset(id.as_str(), &dataset.manifest);
        text.push_str(&summary::text(report));
        text.push_str(&format!("\n  {n_seeded} history events seeded"));
        if *n_replaced > 0 {
            text.push_str(&format!(
                ", {n_replaced} of the earlier data set of this name taken back (`--name` keeps both)"
            ));
        }
        text
    });
}

async fn show(
    output: Output,
    artifacts: &Artifacts,
    id: &ArtifactId,
) -> anyhow::Result<()> {
    let manifest = Manifest::read(&artifacts.folder(Kind::Dataset, id).await?)?;
    let put_ms = artifacts.put_ms(Kind::Dataset, id).await?;
    let value = json!({
        "dataset": id,
        "imported": put_ms.map(date_of),
        "manifest": manifest,
    });
    output.write(&value, || {
        let line = text::dataset(id.as_str(), &manifest);
        let imported = put_ms.map(minute).unwrap_or_default();
        format!("{line}, imported {imported}, catalog {}", manifest.catalog)
    });
    Ok(())
}
