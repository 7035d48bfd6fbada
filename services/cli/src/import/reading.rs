//! From a path to a checked data set: the arguments that say how, and the
//! reading.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use dataset::{
    Columns, Dataset, DateOrder, Format, ImportOptions, Report, SplitRule,
    import,
};
use domain::{ArtifactId, Catalog, MAX_CLOCK_SKEW_MS};
use storage::{Artifacts, Kind};

use crate::lookup;

/// How a file becomes a data set.
#[derive(Clone, clap::Args)]
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

    /// A file or folder of items in any form: ids, titles, categories; its
    /// other columns become attributes. A folder's own is found by itself.
    #[arg(long)]
    items: Option<PathBuf>,

    /// How interactions are split into train, valid and test.
    #[arg(long, default_value = "given")]
    split: SplitName,

    /// Interactions that this data set has keep its splits in a random split: what
    /// was held out from one model is not learned by the next.
    #[arg(long, value_name = "DATASET")]
    splits_of: Option<String>,

    /// The data set of the version that a job starts from: its splits are kept
    /// where chance would split.
    #[arg(skip)]
    pub(crate) starts_from: Option<String>,

    /// No history is seeded from it, or taken back for it.
    #[arg(skip)]
    pub(crate) seeds_nothing: bool,

    /// Seed of a random split; 0 when absent.
    #[arg(long)]
    split_seed: Option<u64>,

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

    /// Column of the item's id, in the items file too where it has it.
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

    /// Column of the titles in the items file.
    #[arg(long)]
    title_column: Option<String>,

    /// Column of the categories in the items file, the widest first: `Kitchen >
    /// Tea`, `Kitchen|Tea` or a list.
    #[arg(long)]
    category_column: Option<String>,

    /// Names of the columns of a file without a header, in their order:
    /// `user,item,timestamp,rating,split,text`; `_` for one that is not read.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,

    /// What stands between two cells, where it is not found out; `tab` and
    /// `space` are words for theirs.
    #[arg(long)]
    delimiter: Option<String>,

    /// Which of day and month stands first in dates such as 03/04/2020.
    #[arg(long, value_name = "ORDER")]
    dates: Option<DatesName>,

    /// An id that stands for nothing, such as `NULL`; may be repeated.
    #[arg(long = "missing", value_name = "ID")]
    missing: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DatesName {
    /// 3 April.
    DayFirst,
    /// March 4.
    MonthFirst,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    /// The file's split column, or random where there is none.
    Given,
    /// 80/10/10 per user, at random.
    Random,
    /// The last item for the test, the one before for validation.
    LeaveLastOut,
}

/// A data set, and what its reading said.
pub(crate) struct ReadData {
    pub(crate) dataset: Dataset,
    pub(crate) report: Report,
}

/// Reads a path as the arguments say.
pub(crate) async fn read(
    path: &Path,
    reading: &Reading,
    storage: &storage::Settings,
) -> anyhow::Result<ReadData> {
    let mut options = reading.options()?;
    options.needs_random_split = reading.splits_of.is_some();
    let earlier = reading.splits_of.as_ref().or(reading.starts_from.as_ref());
    if let Some(typed) = earlier {
        let artifacts = Artifacts::open(storage)?;
        let id = lookup::dataset_in(&artifacts, typed).await?;
        let id = ArtifactId::new(id).context("--splits-of")?;
        let folder = artifacts.open_verified(Kind::Dataset, &id).await;
        let folder = folder.context("--splits-of")?;
        let earlier = Dataset::read_without_texts(&folder)?;
        options.splits_of = Some(Arc::new(earlier));
    }
    let mut read = read_with(path, options).await?;
    // To open a store would make its folder.
    if !reading.seeds_nothing && Path::new(&storage.artifacts).is_dir() {
        let artifacts = Artifacts::open(storage)?;
        ingestion::tell(&mut read.report, &read.dataset, &artifacts).await?;
    }
    Ok(read)
}

/// Reads a path with the usual options.
pub(crate) async fn read_as_usual(path: &Path) -> anyhow::Result<ReadData> {
    read_with(path, ImportOptions::default()).await
}

async fn read_with(
    path: &Path,
    options: ImportOptions,
) -> anyhow::Result<ReadData> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || import(&path, &options));
    let (dataset, report) = reading.await??;
    Ok(ReadData { dataset, report })
}

impl Reading {
    /// The first option that says something else than is usual; none where
    /// nothing is asked for.
    pub(crate) fn unusual(&self) -> Option<&'static str> {
        let columns = [
            (&self.user_column, "--user-column"),
            (&self.item_column, "--item-column"),
            (&self.timestamp_column, "--timestamp-column"),
            (&self.rating_column, "--rating-column"),
            (&self.split_column, "--split-column"),
            (&self.text_column, "--text-column"),
            (&self.title_column, "--title-column"),
            (&self.category_column, "--category-column"),
        ];
        let columns = columns.map(|(column, name)| (column.is_some(), name));
        let others = [
            (self.format.is_some(), "--format"),
            (self.name.is_some(), "--name"),
            (self.catalog != Catalog::default().as_str(), "--catalog"),
            (self.items.is_some(), "--items"),
            (self.split != SplitName::Given, "--split"),
            (self.split_seed.is_some(), "--split-seed"),
            (self.splits_of.is_some(), "--splits-of"),
            (self.k_core != 1, "--k-core"),
            (self.min_rating.is_some(), "--min-rating"),
            (self.new_items, "--new-items"),
            (self.max_refused_share != 0.01, "--max-refused-share"),
            (!self.columns.is_empty(), "--columns"),
            (self.delimiter.is_some(), "--delimiter"),
            (self.dates.is_some(), "--dates"),
            (!self.missing.is_empty(), "--missing"),
        ];
        let mut options = others.into_iter().chain(columns);
        options
            .find(|(is_given, _)| *is_given)
            .map(|(_, name)| name)
    }

    fn options(&self) -> anyhow::Result<ImportOptions> {
        self.refuse_options_without_effect()?;
        Ok(ImportOptions {
            format: self.format.map(Into::into),
            columns: self.named_columns()?,
            delimiter: self.delimiter.clone(),
            dates: match self.dates {
                None => DateOrder::NotTold,
                Some(DatesName::DayFirst) => DateOrder::DayFirst,
                Some(DatesName::MonthFirst) => DateOrder::MonthFirst,
            },
            missing: self.missing.clone(),
            latest_ms: Some(storage::now_ms() + MAX_CLOCK_SKEW_MS),
            items: self.items.clone(),
            name: self.name.clone(),
            catalog: Catalog::new(self.catalog.clone()).context("--catalog")?,
            split: self.split_rule(),
            splits_of: None,
            needs_random_split: false,
            k_core: self.k_core,
            min_rating: self.min_rating,
            with_new_items: self.new_items,
            max_refused_share: self.max_refused_share,
        })
    }

    /// Namespace of the item ids.
    pub(crate) fn catalog(&self) -> &str {
        &self.catalog
    }

    /// True where chance splits a file that does not split itself.
    pub(crate) fn splits_at_random(&self) -> bool {
        match self.split {
            SplitName::Given => self.split_column.is_none(),
            SplitName::Random => true,
            SplitName::LeaveLastOut => false,
        }
    }

    fn refuse_options_without_effect(&self) -> anyhow::Result<()> {
        if self.split_seed.is_some() && self.split != SplitName::Random {
            bail!("`--split-seed` has no effect without `--split random`");
        }
        if self.split_column.is_some() && self.split != SplitName::Given {
            bail!("`--split-column` has no effect with `--split`");
        }
        if self.splits_of.is_some() && self.split == SplitName::LeaveLastOut {
            bail!("`--splits-of` has no effect with `--split leave-last-out`");
        }
        if self.columns.is_empty() {
            return Ok(());
        }
        let named = [
            (&self.user_column, "user"),
            (&self.item_column, "item"),
            (&self.timestamp_column, "timestamp"),
            (&self.rating_column, "rating"),
            (&self.split_column, "split"),
            (&self.text_column, "text"),
        ];
        for (column, kind) in named {
            let is_there = column
                .as_ref()
                .is_none_or(|name| self.columns.contains(name));
            if !is_there {
                bail!("`--{kind}-column` names none of `--columns`");
            }
        }
        Ok(())
    }

    /// The columns that the options name; those of `--columns` by their
    /// fields.
    fn named_columns(&self) -> anyhow::Result<Columns> {
        let mut names = Vec::new();
        for (place, name) in self.columns.iter().enumerate() {
            names.push(match name.trim() {
                "" => bail!("`--columns` has an empty name; `_` is for a column that is not read"),
                // Each has a name of its own.
                "_" => format!("_{}", place + 1),
                name => name.to_owned(),
            });
        }
        Ok(Columns {
            user: self.user_column.clone(),
            item: self.item_column.clone(),
            timestamp: self.timestamp_column.clone(),
            rating: self.rating_column.clone(),
            split: self.split_column.clone(),
            text: self.text_column.clone(),
            title: self.title_column.clone(),
            category: self.category_column.clone(),
            all: names,
        })
    }

    fn split_rule(&self) -> SplitRule {
        match self.split {
            SplitName::Given => SplitRule::Given,
            SplitName::Random => SplitRule::Random {
                seed: self.split_seed.unwrap_or(0),
            },
            SplitName::LeaveLastOut => SplitRule::LeaveLastOut,
        }
    }
}
