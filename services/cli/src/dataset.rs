//! `dataset`: import, list, show, delete.

use std::path::{Path, PathBuf};

use ::dataset::{Columns, Dataset, Format, ImportOptions, Manifest, Report, SplitRule, import};
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use domain::{ArtifactId, Catalog};
use proto::pb;
use serde_json::json;
use storage::{Artifacts, Kind, Storage};

use crate::output::Output;
use crate::seeding::{Histories, Seed, seed_store};
use crate::train::dataset_id;
use crate::{Settings, train};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check a data set, store it under its hash, seed the histories.
    Import(Box<Import>),
    /// All data sets.
    List,
    /// One data set.
    Show {
        /// Its id.
        id: String,
    },
    /// Remove a data set. Models trained on it stay; jobs on it fail.
    Delete {
        /// Its id.
        id: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct Import {
    /// A file or folder: CSV, TSV, JSONL, Parquet, Amazon reviews, MovieLens, scipy CSR matrices.
    path: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Which splits become histories.
    #[arg(long, default_value = "train,valid")]
    seed_histories: Seed,
}

/// How a file becomes a data set.
#[derive(clap::Args)]
pub(crate) struct Reading {
    /// The form, where it cannot be told from the path.
    #[arg(long)]
    format: Option<FormatName>,
    /// What people call it.
    #[arg(long)]
    name: Option<String>,
    /// Namespace of its item ids and histories.
    #[arg(long, default_value = "default")]
    catalog: String,
    /// A JSONL file with item_id, title, categories, attributes.
    #[arg(long)]
    items: Option<PathBuf>,
    /// How to split.
    #[arg(long, default_value = "given")]
    split: SplitName,
    /// Seed of a random split.
    #[arg(long, default_value_t = 0)]
    split_seed: u64,
    /// Users and items keep at least this many interactions.
    #[arg(long, default_value_t = 1)]
    k_core: usize,
    /// Leave out interactions rated lower.
    #[arg(long)]
    min_rating: Option<f64>,
    /// Items of the items file that have a title and no interaction stay in the catalogue, ranked
    /// by their texts.
    #[arg(long)]
    new_items: bool,
    /// Fail when a larger share of the lines is refused.
    #[arg(long, default_value_t = 0.01)]
    max_refused_share: f64,
    /// Column of the user's id.
    #[arg(long)]
    user_column: Option<String>,
    /// Column of the item's id.
    #[arg(long)]
    item_column: Option<String>,
    /// Column of the time.
    #[arg(long)]
    timestamp_column: Option<String>,
    /// Column of the rating.
    #[arg(long)]
    rating_column: Option<String>,
    /// Column of the split: train, valid or test.
    #[arg(long)]
    split_column: Option<String>,
    /// Column of a review.
    #[arg(long)]
    text_column: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Folder,
    Csv,
    Tsv,
    Jsonl,
    Parquet,
    Amazon,
    #[value(name = "movielens-100k")]
    Movielens100k,
    #[value(name = "movielens-1m")]
    Movielens1m,
    #[value(name = "movielens-25m")]
    Movielens25m,
    Npz,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Folder => Self::Folder,
            FormatName::Csv => Self::Csv,
            FormatName::Tsv => Self::Tsv,
            FormatName::Jsonl => Self::Jsonl,
            FormatName::Parquet => Self::Parquet,
            FormatName::Amazon => Self::Amazon,
            FormatName::Movielens100k => Self::Movielens100k,
            FormatName::Movielens1m => Self::Movielens1m,
            FormatName::Movielens25m => Self::Movielens25m,
            FormatName::Npz => Self::Npz,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitName {
    /// The file's split column, or random where there is none.
    Given,
    /// 80/10/10 per user.
    Random,
    /// The last item for the test, the one before for validation.
    LeaveLastOut,
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let artifacts = Artifacts::open(&settings.storage)?;
    match command {
        Command::Import(arguments) => {
            let seed = arguments.seed_histories;
            let histories = Histories::open(settings, seed).await?; // before anything is stored
            let (dataset, report) = read(&arguments.path, &arguments.reading).await?;
            let (id, n_seeded) = store_and_seed(&dataset, histories, seed, settings).await?;
            show_import(output, &id, &dataset.manifest, &report, n_seeded);
        }
        Command::List => {
            for id in artifacts.list(Kind::Dataset).await? {
                show(output, &artifacts, &id).await?;
            }
        }
        Command::Show { id } => {
            show(output, &artifacts, &ArtifactId::new(dataset_id(&id))?).await?;
        }
        Command::Delete { id } => {
            let artifact = ArtifactId::new(dataset_id(&id))?;
            artifacts.delete(Kind::Dataset, &artifact).await?;
            output.write(&json!({ "deleted": dataset_id(&id) }), || {
                format!("deleted {}", dataset_id(&id))
            });
        }
    }
    Ok(())
}

/// Stores a data set and seeds its histories; when that fails nothing new is left. Returns its id
/// and how many events were new.
async fn store_and_seed(
    dataset: &Dataset,
    histories: Histories,
    seed: Seed,
    settings: &Settings,
) -> anyhow::Result<(String, usize)> {
    let artifacts = Artifacts::open(&settings.storage)?;
    let before = artifacts.list(Kind::Dataset).await?;
    let id = store(&artifacts, dataset).await?;
    let seeded = match check_that_services_see(settings, id.as_str()).await {
        Ok(()) => histories
            .seed(dataset, seed)
            .await
            .context("the histories could not be seeded"),
        Err(error) => Err(error),
    };
    match seeded {
        Ok(n_seeded) => Ok((id.into(), n_seeded)),
        Err(error) => {
            if !before.contains(&id) {
                artifacts.delete(Kind::Dataset, &id).await?;
            }
            Err(error.context("the data set was not kept"))
        }
    }
}

/// Imports a path where running services see it, and seeds the histories.
pub(crate) async fn import_and_seed(
    path: &Path,
    reading: &Reading,
    settings: &Settings,
) -> anyhow::Result<(Dataset, String)> {
    let histories = Histories::open(settings, Seed::TrainValid).await?;
    let (dataset, _) = read(path, reading).await?;
    let (id, _) = store_and_seed(&dataset, histories, Seed::TrainValid, settings).await?;
    Ok((dataset, id))
}

/// A running coordinator must know the data set: else it was stored where no service looks. None
/// running is fine.
async fn check_that_services_see(settings: &Settings, id: &str) -> anyhow::Result<()> {
    let spec = Some(pb::TrainSpec {
        dataset: format!("datasets/{id}"),
        ..pb::TrainSpec::default()
    });
    let request = pb::TrainJobRequest {
        spec,
        validate_only: true,
        ..pb::TrainJobRequest::default()
    };
    match train::client(&settings.coordinator)?
        .train_job(request)
        .await
    {
        Err(status) if status.code() == tonic::Code::NotFound => anyhow::bail!(
            "the running coordinator keeps its data sets elsewhere than {}: set CLLM4REC__STORAGE__ARTIFACTS and \
             CLLM4REC__STORAGE__STORE to its places",
            std::path::absolute(&settings.storage.artifacts)?.display()
        ),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Imports a path.
pub(crate) async fn read(path: &Path, arguments: &Reading) -> anyhow::Result<(Dataset, Report)> {
    let options = ImportOptions {
        format: arguments.format.map(Into::into),
        columns: Columns {
            user: arguments.user_column.clone(),
            item: arguments.item_column.clone(),
            timestamp: arguments.timestamp_column.clone(),
            rating: arguments.rating_column.clone(),
            split: arguments.split_column.clone(),
            text: arguments.text_column.clone(),
        },
        items: arguments.items.clone(),
        name: arguments.name.clone(),
        catalog: Catalog::new(arguments.catalog.clone()).context("--catalog")?,
        split: match arguments.split {
            SplitName::Given => SplitRule::Given,
            SplitName::Random => SplitRule::Random {
                seed: arguments.split_seed,
            },
            SplitName::LeaveLastOut => SplitRule::LeaveLastOut,
        },
        k_core: arguments.k_core,
        min_rating: arguments.min_rating,
        with_new_items: arguments.new_items,
        max_refused_share: arguments.max_refused_share,
    };
    let path = path.to_owned();
    Ok(tokio::task::spawn_blocking(move || import(&path, &options)).await??)
}

/// Imports a path with the usual options.
pub(crate) async fn read_path(path: &Path) -> anyhow::Result<(Dataset, Report)> {
    let path = path.to_owned();
    Ok(tokio::task::spawn_blocking(move || import(&path, &ImportOptions::default())).await??)
}

/// Writes a data set into the artifact store; nothing is left of one that fails half-way.
async fn store(artifacts: &Artifacts, dataset: &Dataset) -> anyhow::Result<ArtifactId> {
    let staging = tempfile::tempdir()?;
    dataset.write(staging.path())?;
    Ok(artifacts.put(Kind::Dataset, staging.path()).await?)
}

/// Stores a data set where services of this process see it, and seeds its histories. Returns its
/// id.
pub(crate) async fn store_in(storage: &Storage, dataset: &Dataset) -> anyhow::Result<String> {
    let id = store(&storage.artifacts, dataset).await?;
    seed_store(storage.clone(), dataset, Seed::TrainValid).await?;
    Ok(id.into())
}

fn show_import(output: Output, id: &str, manifest: &Manifest, report: &Report, n_seeded: usize) {
    let refusals: Vec<String> = report.refusals.iter().map(ToString::to_string).collect();
    let value = json!({
        "dataset": id, "manifest": manifest, "n_read": report.n_read, "n_refused": report.n_refused,
        "refusals": refusals, "n_below_rating": report.n_below_rating, "n_repeats": report.n_repeats,
        "n_outside_core": report.n_outside_core, "n_seeded": n_seeded,
    });
    output.write(&value, || {
        let mut text = describe(id, manifest);
        text.push_str(&format!(
            "\n  {} lines read, {} refused, {} repeats, {} outside the core, {} history events seeded",
            report.n_read, report.n_refused, report.n_repeats, report.n_outside_core, n_seeded
        ));
        refusals.iter().for_each(|refusal| text.push_str(&format!("\n  refused {refusal}")));
        text
    });
}

async fn show(output: Output, artifacts: &Artifacts, id: &ArtifactId) -> anyhow::Result<()> {
    let manifest = Manifest::read(&artifacts.folder(Kind::Dataset, id).await?)?;
    output.write(&json!({ "dataset": id, "manifest": manifest }), || {
        describe(id.as_str(), &manifest)
    });
    Ok(())
}

/// A data set in one line.
pub(crate) fn describe(id: &str, manifest: &Manifest) -> String {
    format!(
        "{id}  {}: {} users, {} items, {} interactions ({} train, {} valid, {} test), {} titles, {} texts",
        manifest.name,
        manifest.n_users,
        manifest.n_items,
        manifest.n_interactions,
        manifest.n_train,
        manifest.n_valid,
        manifest.n_test,
        manifest.n_titles,
        manifest.n_texts
    )
}
