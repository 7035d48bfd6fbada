//! `dataset`: import, list, show, delete.

use std::path::{Path, PathBuf};

use ::dataset::{Columns, Dataset, Format, ImportOptions, Manifest, Report, Split, SplitRule, import};
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use domain::{Catalog, Interaction, UserId};
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use serde_json::json;
use storage::{Artifacts, Histories, Kind, Storage};

use crate::Settings;
use crate::output::Output;

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
    /// Fail when a larger share of the lines is refused.
    #[arg(long, default_value_t = 0.01)]
    max_refused_share: f64,
    /// Which splits become histories.
    #[arg(long, default_value = "train,valid")]
    seed_histories: Seed,
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

/// Which splits become histories.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Seed {
    /// None.
    None,
    /// What was learned from; for evaluation.
    Train,
    /// Everything but the test.
    #[value(name = "train,valid")]
    TrainValid,
}

pub(crate) async fn run(command: Command, settings: &Settings, output: Output) -> anyhow::Result<()> {
    let artifacts = Artifacts::open(&settings.storage)?;
    match command {
        Command::Import(arguments) => {
            let seed = arguments.seed_histories;
            let (dataset, report) = read(*arguments).await?;
            let id = store(&artifacts, &dataset).await?;
            let n_seeded = seed_histories(settings, &dataset, seed).await?;
            show_import(output, &id, &dataset.manifest, &report, n_seeded);
        }
        Command::List => {
            for id in artifacts.list(Kind::Dataset).await? {
                show(output, &artifacts, &id).await?;
            }
        }
        Command::Show { id } => show(output, &artifacts, bare(&id)).await?,
        Command::Delete { id } => {
            artifacts.delete(Kind::Dataset, bare(&id)).await?;
            output.write(&json!({ "deleted": bare(&id) }), || format!("deleted {}", bare(&id)));
        }
    }
    Ok(())
}

/// `datasets/{id}` and `{id}` are the same.
pub(crate) fn bare(id: &str) -> &str {
    id.strip_prefix("datasets/").unwrap_or(id)
}

async fn read(arguments: Import) -> anyhow::Result<(Dataset, Report)> {
    let options = ImportOptions {
        format: arguments.format.map(Into::into),
        columns: Columns {
            user: arguments.user_column,
            item: arguments.item_column,
            timestamp: arguments.timestamp_column,
            rating: arguments.rating_column,
            ..Columns::default()
        },
        items: arguments.items,
        name: arguments.name,
        catalog: Catalog::new(arguments.catalog).context("--catalog")?,
        split: match arguments.split {
            SplitName::Given => SplitRule::Given,
            SplitName::Random => SplitRule::Random { seed: arguments.split_seed },
            SplitName::LeaveLastOut => SplitRule::LeaveLastOut,
        },
        k_core: arguments.k_core,
        min_rating: arguments.min_rating,
        max_refused_share: arguments.max_refused_share,
    };
    let path = arguments.path;
    Ok(tokio::task::spawn_blocking(move || import(&path, &options)).await??)
}

/// Imports a path with the usual options.
pub(crate) async fn read_path(path: &Path) -> anyhow::Result<(Dataset, Report)> {
    let path = path.to_owned();
    Ok(tokio::task::spawn_blocking(move || import(&path, &ImportOptions::default())).await??)
}

/// Writes a data set into the artifact store; nothing is left of one that fails half-way.
pub(crate) async fn store(artifacts: &Artifacts, dataset: &Dataset) -> anyhow::Result<String> {
    let staging = tempfile::tempdir()?;
    dataset.write(staging.path())?;
    Ok(artifacts.put(Kind::Dataset, staging.path()).await?)
}

/// Users in one write.
const USERS_A_WRITE: usize = 500;

/// Puts the interactions of the chosen splits into the histories, straight into the store, or through a running
/// scorer where `cllm4rec up` holds the embedded one. Returns how many were new.
async fn seed_histories(settings: &Settings, dataset: &Dataset, seed: Seed) -> anyhow::Result<usize> {
    if seed == Seed::None {
        return Ok(0);
    }
    match Storage::open(&settings.storage).await {
        Ok(storage) => seed_store(&storage.histories, dataset, seed).await,
        Err(storage::Error::InUse(_)) => seed_through_scorer(settings, dataset, seed).await,
        Err(error) => Err(error.into()),
    }
}

/// The same, with a store at hand.
pub(crate) async fn seed_store(histories: &Histories, dataset: &Dataset, seed: Seed) -> anyhow::Result<usize> {
    let mut n_new = 0;
    for batch in by_user(dataset, seed).chunks(USERS_A_WRITE) {
        n_new += histories.record_all(&dataset.manifest.catalog, batch).await?;
    }
    Ok(n_new)
}

async fn seed_through_scorer(settings: &Settings, dataset: &Dataset, seed: Seed) -> anyhow::Result<usize> {
    let mut scorer = HistoryServiceClient::new(service::client::connect(&settings.scorer)?);
    let mut n_new = 0;
    for (user, events) in by_user(dataset, seed) {
        let interactions = events.iter().map(|event| pb::Interaction::of(&user, event)).collect();
        let catalog = dataset.manifest.catalog.to_string();
        let request = pb::RecordInteractionsRequest { interactions, catalog };
        n_new += scorer.record_interactions(request).await?.into_inner().n_recorded as usize;
    }
    Ok(n_new)
}

fn by_user(dataset: &Dataset, seed: Seed) -> Vec<(UserId, Vec<Interaction>)> {
    let rows = &dataset.interactions;
    let mut by_user: Vec<(UserId, Vec<Interaction>)> =
        dataset.users.iter().map(|user| (user.clone(), Vec::new())).collect();
    for place in 0..rows.users.len() {
        let wanted = match rows.splits[place] {
            Split::Train => true,
            Split::Valid => seed == Seed::TrainValid,
            Split::Test => false,
        };
        if wanted {
            let item = dataset.items[rows.items[place] as usize].id.clone();
            by_user[rows.users[place] as usize].1.push(Interaction { item, at_ms: rows.at_ms[place], event: None });
        }
    }
    by_user.retain(|(_, events)| !events.is_empty());
    by_user
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

async fn show(output: Output, artifacts: &Artifacts, id: &str) -> anyhow::Result<()> {
    let manifest = Manifest::read(&artifacts.folder(Kind::Dataset, id).await?)?;
    output.write(&json!({ "dataset": id, "manifest": manifest }), || describe(id, &manifest));
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
