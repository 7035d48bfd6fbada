//! From a path to a checked data set: the arguments that say how, and the
//! reading.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use dataset::{
    Columns, Dataset, Format, ImportOptions, Report, SplitRule, import,
};
use domain::Catalog;

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

    /// How interactions are split into train, valid and test.
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

    /// Items of the items file that have a title and no interaction stay in the
    /// catalogue, ranked by their texts.
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
    /// 80/10/10 per user, at random.
    Random,
    /// The last item for the test, the one before for validation.
    LeaveLastOut,
}

/// Reads a path as the arguments say.
pub(crate) async fn read(
    path: &Path,
    reading: &Reading,
) -> anyhow::Result<(Dataset, Report)> {
    read_with(path, reading.options()?).await
}

/// Reads a path with the usual options.
pub(crate) async fn read_as_usual(path: &Path) -> anyhow::Result<Dataset> {
    let (dataset, _) = read_with(path, ImportOptions::default()).await?;
    Ok(dataset)
}

async fn read_with(
    path: &Path,
    options: ImportOptions,
) -> anyhow::Result<(Dataset, Report)> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || import(&path, &options));
    Ok(reading.await??)
}

impl Reading {
    fn options(&self) -> anyhow::Result<ImportOptions> {
        Ok(ImportOptions {
            format: self.format.map(Into::into),
            columns: self.columns(),
            items: self.items.clone(),
            name: self.name.clone(),
            catalog: Catalog::new(self.catalog.clone()).context("--catalog")?,
            split: self.split_rule(),
            k_core: self.k_core,
            min_rating: self.min_rating,
            with_new_items: self.new_items,
            max_refused_share: self.max_refused_share,
        })
    }

    fn columns(&self) -> Columns {
        Columns {
            user: self.user_column.clone(),
            item: self.item_column.clone(),
            timestamp: self.timestamp_column.clone(),
            rating: self.rating_column.clone(),
            split: self.split_column.clone(),
            text: self.text_column.clone(),
        }
    }

    fn split_rule(&self) -> SplitRule {
        match self.split {
            SplitName::Given => SplitRule::Given,
            SplitName::Random => SplitRule::Random {
                seed: self.split_seed,
            },
            SplitName::LeaveLastOut => SplitRule::LeaveLastOut,
        }
    }
}
