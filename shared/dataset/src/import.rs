//! ★ From a path to a checked data set: recognise the form, read, leave out,
//! split, number.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use domain::Catalog;

use crate::builder::{Builder, Refusal, Row};
use crate::columns::Columns;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::format::{Format, recognise};
use crate::numbering::number;
use crate::pruning::{drop_repeats, k_core};
use crate::readers;
use crate::split::{SplitRule, assign};

/// How a path becomes a data set.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The form of the data; recognised from the path when absent.
    pub format: Option<Format>,
    /// Column names that are not to be guessed.
    pub columns: Columns,
    /// A JSONL file with titles, categories and attributes, for forms that
    /// bring none.
    pub items: Option<PathBuf>,
    /// What people call the data set; the path's last part when absent.
    pub name: Option<String>,
    /// Namespace of the item ids and histories.
    pub catalog: Catalog,
    /// How interactions are split into training, validation and test.
    pub split: SplitRule,
    /// Users and items keep at least this many interactions.
    pub k_core: usize,
    /// Interactions rated lower are left out.
    pub min_rating: Option<f64>,
    /// Items that have a title and no interaction stay in the catalogue.
    pub with_new_items: bool,
    /// The import fails when a larger share of the lines is refused, 0 to 1.
    pub max_refused_share: f64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: None,
            columns: Columns::default(),
            items: None,
            name: None,
            catalog: Catalog::default(),
            split: SplitRule::Given,
            k_core: 1,
            min_rating: None,
            with_new_items: false,
            max_refused_share: 0.01,
        }
    }
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Number of lines that were read, the refused ones among them.
    pub n_read: usize,
    /// Number of lines that were refused.
    pub n_refused: usize,
    /// The first refused lines, ten at most.
    pub refusals: Vec<Refusal>,
    /// Number of interactions rated below `min_rating`.
    pub n_below_rating: usize,
    /// Number of repeats of the same user and item; the earliest is kept.
    pub n_repeats: usize,
    /// Number of interactions that the k-core left out.
    pub n_outside_core: usize,
}

/// Reads `path` and makes a data set of it.
///
/// # Errors
/// When the path cannot be read or its form not be told, when too many lines
/// are refused, or when nothing is left to train on.
pub fn import(
    path: &Path,
    options: &ImportOptions,
) -> Result<(Dataset, Report), Error> {
    let format = match options.format {
        Some(format) => format,
        None => recognise(path)?,
    };
    let mut builder = Builder {
        min_rating: options.min_rating,
        with_new_items: options.with_new_items,
        ..Builder::default()
    };
    readers::read(&mut builder, path, format, &options.columns)?;
    if let Some(items) = &options.items {
        readers::jsonl::items(&mut builder, items)?;
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => last_part(path),
    };
    finish(builder, name, options)
}

fn last_part(path: &Path) -> String {
    match path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => "dataset".to_owned(),
    }
}

/// Orders what was read, leaves out, splits and numbers.
fn finish(
    mut builder: Builder,
    name: String,
    options: &ImportOptions,
) -> Result<(Dataset, Report), Error> {
    check_refusals(&builder, options.max_refused_share)?;
    let mut rows = std::mem::take(&mut builder.rows);
    let item_ranks = builder.items.ranks();
    rows.sort_unstable_by_key(|row| {
        (row.user, row.at_ms, item_ranks[row.item as usize])
    });
    let n_all = rows.len();
    drop_repeats(&mut rows, item_ranks.len());
    let n_distinct = rows.len();
    let taken: HashSet<u32> = rows.iter().map(|row| row.item).collect();
    k_core(&mut rows, options.k_core.max(1));
    let report = Report {
        n_read: builder.n_read,
        n_refused: builder.n_refused,
        refusals: std::mem::take(&mut builder.refusals),
        n_below_rating: builder.n_below_rating,
        n_repeats: n_all - n_distinct,
        n_outside_core: n_distinct - rows.len(),
    };
    check_times(&rows, options.split)?;
    assign(&mut rows, options.split, &builder.users.ranks());
    let rows = number(builder, rows, &taken)?;
    let dataset = Dataset::new(name, options.catalog.clone(), rows);
    check_that_something_is_left(&dataset, report.n_read)?;
    Ok((dataset, report))
}

fn check_refusals(builder: &Builder, allowed: f64) -> Result<(), Error> {
    let Some(first) = builder.refusals.first() else {
        return Ok(());
    };
    if builder.n_refused as f64 <= allowed * builder.n_read as f64 {
        return Ok(());
    }
    Err(Error::TooManyRefused {
        refused: builder.n_refused,
        read: builder.n_read,
        allowed,
        first: first.to_string(),
    })
}

fn check_times(rows: &[Row], rule: SplitRule) -> Result<(), Error> {
    if rule == SplitRule::LeaveLastOut && rows.iter().all(|row| row.at_ms == 0)
    {
        return Err(Error::Empty(
            "leave-last-out needs a timestamp column: without times nothing is last".to_owned(),
        ));
    }
    Ok(())
}

fn check_that_something_is_left(
    dataset: &Dataset,
    n_read: usize,
) -> Result<(), Error> {
    let (n_train, n_items) =
        (dataset.manifest.n_train, dataset.manifest.n_items);
    if n_train >= 2 && n_items >= 2 {
        return Ok(());
    }
    Err(Error::Empty(format!(
        "{n_train} training interactions with {n_items} items are left of {n_read} lines: nothing to train on"
    )))
}
