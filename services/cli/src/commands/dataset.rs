//! `dataset`: import, list, show, delete.

use std::path::PathBuf;

use clap::Subcommand;
use dataset::{Manifest, Report};
use domain::ArtifactId;
use serde_json::json;
use storage::{Artifacts, Kind};

use crate::import::reading::{Reading, read};
use crate::import::seeding::{SeededSplits, Seeding};
use crate::import::store::{StoredDataset, store_and_seed};
use crate::names::dataset_id;
use crate::output::text;
use crate::output::writer::{self, Output};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a data set, store it under its hash, seed the histories.
    Import(Box<Import>),

    /// All data sets that are stored.
    List,

    /// One data set, by its id.
    Show {
        /// The data set's id.
        id: String,
    },

    /// Remove a data set. Models trained on it stay; jobs on it fail.
    Delete {
        /// The data set's id.
        id: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct Import {
    /// A file or folder: CSV, TSV, JSONL, Parquet, Amazon reviews, MovieLens,
    /// scipy CSR matrices.
    path: PathBuf,

    #[command(flatten)]
    reading: Reading,

    /// Which splits become histories.
    #[arg(long, default_value = "all")]
    seed_histories: SeededSplits,
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let artifacts = Artifacts::open(&settings.storage)?;
    match command {
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
            show(output, &artifacts, &artifact_id(&id)?).await
        }
        Command::Delete { id } => {
            let id = artifact_id(&id)?;
            artifacts.delete(Kind::Dataset, &id).await?;
            output.write(&json!({ "deleted": id }), || format!("deleted {id}"));
            Ok(())
        }
    }
}

fn artifact_id(typed: &str) -> anyhow::Result<ArtifactId> {
    Ok(ArtifactId::new(dataset_id(typed))?)
}

async fn import(
    arguments: &Import,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    // Before anything is stored: a store that cannot be opened is found out
    // about first.
    let seeding = Seeding::open(settings, arguments.seed_histories).await?;
    let (dataset, report) = read(&arguments.path, &arguments.reading).await?;
    let stored = store_and_seed(&dataset, seeding, settings).await?;
    show_import(output, &stored, &dataset.manifest, &report);
    Ok(())
}

fn show_import(
    output: Output,
    stored: &StoredDataset,
    manifest: &Manifest,
    report: &Report,
) {
    let StoredDataset { id, n_seeded } = stored;
    let refusals: Vec<String> =
        report.refusals.iter().map(ToString::to_string).collect();
    let value = json!({
        "dataset": id,
        "manifest": manifest,
        "n_read": report.n_read,
        "n_refused": report.n_refused,
        "refusals": refusals,
        "n_below_rating": report.n_below_rating,
        "n_repeats": report.n_repeats,
        "n_outside_core": report.n_outside_core,
        "n_seeded": n_seeded,
    });
    output.write(&value, || {
        let mut text = text::dataset(id.as_str(), manifest);
        text.push_str(&format!(
            "\n  {} lines read, {} refused, {} repeats, {} outside the core, {n_seeded} history events seeded",
            report.n_read, report.n_refused, report.n_repeats, report.n_outside_core
        ));
        for refusal in &refusals {
            text.push_str(&format!("\n  refused {refusal}"));
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
    let value = json!({ "dataset": id, "manifest": manifest });
    output.write(&value, || text::dataset(id.as_str(), &manifest));
    Ok(())
}
