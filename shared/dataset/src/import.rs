//! ★ From a path to a checked data set: find the files, read, leave out, split,
//! number.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Catalog;

use crate::builder::{Builder, Row};
use crate::columns::Columns;
use crate::dataset::Dataset;
use crate::error::Error;
use crate::layout::{Format, Layout, find, find_items};
use crate::numbering::number;
use crate::pruning::{drop_repeats, k_core};
use crate::split::{SplitRule, assign, is_random};
use crate::summary::{LeftOut, Report, all_in_one_split, report, steps};
use crate::tally::Tally;
use crate::values::times::DateOrder;
use crate::{interactions, items};

/// How a path becomes a data set.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The form of the data; found out when absent.
    pub format: Option<Format>,
    /// Column names that are not to be guessed.
    pub columns: Columns,
    /// What stands between two cells of a line; found out when absent.
    pub delimiter: Option<String>,
    /// Which of day and month stands first in dates of numbers.
    pub dates: DateOrder,
    /// Ids that stand for nothing.
    pub missing: Vec<String>,
    /// A file or folder with titles, categories and attributes.
    pub items: Option<PathBuf>,
    /// What people call the data set; the path's last part when absent.
    pub name: Option<String>,
    /// Namespace of the item ids and histories.
    pub catalog: Catalog,
    /// How interactions are split into training, validation and test.
    pub split: SplitRule,
    /// An earlier data set: interactions that it has keep its splits in a random
    /// split.
    pub splits_of: Option<Arc<Dataset>>,
    /// Refuse data that chance does not split: `splits_of` was asked for.
    pub needs_random_split: bool,
    /// Users and items keep at least this many interactions.
    pub k_core: usize,
    /// Interactions rated lower are left out.
    pub min_rating: Option<f64>,
    /// Items that have a title and no interaction stay in the catalogue.
    pub with_new_items: bool,
    /// The import fails when a larger share of the lines is refused, 0 to 1.
    pub max_refused_share: f64,
    /// Later times are refused, in milliseconds since 1970-01-01 UTC; absent
    /// where the future is of no concern.
    pub latest_ms: Option<i64>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            format: None,
            columns: Columns::default(),
            delimiter: None,
            dates: DateOrder::NotTold,
            missing: Vec::new(),
            items: None,
            name: None,
            catalog: Catalog::default(),
            split: SplitRule::Given,
            splits_of: None,
            needs_random_split: false,
            k_core: 1,
            min_rating: None,
            with_new_items: false,
            max_refused_share: 0.01,
            latest_ms: None,
        }
    }
}

/// Reads `path` and makes a data set of it.
///
/// # Errors
/// When the path cannot be read or its form not be told, when too many lines
/// are refused, when an option has no effect, or when nothing is left to train
/// on.
pub fn import(
    path: &Path,
    options: &ImportOptions,
) -> Result<(Dataset, Report), Error> {
    let layout = find(path, options)?;
    let mut builder = Builder {
        with_new_items: options.with_new_items,
        ..Builder::default()
    };
    for part in &layout.interactions {
        interactions::read(&mut builder, part, options)?;
    }
    check_refusals(&builder.tally, options.max_refused_share)?;
    interactions::check_dates(&builder, options.dates)?;
    read_items(&mut builder, &layout, options)?;
    for part in &layout.reviews {
        interactions::read_reviews(&mut builder, part, options)?;
        builder.tally.files.push(part.source.shown.clone());
    }
    check_refusals(&builder.tally, options.max_refused_share)?;
    builder.tally.ignored_files = layout.ignored.clone();
    let name = match &options.name {
        Some(name) => name.clone(),
        None => last_part(path),
    };
    finish(builder, name, options)
}

/// Reads the items' files: those that are named, or those of the folder.
fn read_items(
    builder: &mut Builder,
    layout: &Layout,
    options: &ImportOptions,
) -> Result<(), Error> {
    let named = match &options.items {
        Some(path) => Some(find_items(path, options)?),
        None => None,
    };
    let layout = named.as_ref().unwrap_or(layout);
    let is_none = layout.items.is_empty() && layout.movielens_items.is_none();
    let about_items = [
        ("--title-column", options.columns.title.is_some()),
        ("--category-column", options.columns.category.is_some()),
        ("--new-items", options.with_new_items),
    ];
    let given = about_items.iter().find(|(_, is_given)| *is_given);
    if let Some((option, _)) = given.filter(|_| is_none) {
        return Err(Error::Option(format!(
            "`{option}` has no effect: there is no items' file; `--items` names it"
        )));
    }
    for part in &layout.items {
        items::read(builder, part, &options.columns)?;
    }
    if let Some(source) = &layout.movielens_items {
        items::read_movielens_100k(builder, source)?;
    }
    Ok(())
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
    let mut rows = std::mem::take(&mut builder.rows);
    let mut tally = std::mem::take(&mut builder.tally);
    let item_ranks = builder.items.ranks();
    rows.sort_unstable_by_key(|row| {
        let split = row.split.map(|split| split as u8);
        (row.user, row.at_ms, item_ranks[row.item as usize], split)
    });
    let n_all = rows.len();
    drop_repeats(&mut rows, item_ranks.len());
    let n_distinct = rows.len();
    let taken: HashSet<u32> = rows.iter().map(|row| row.item).collect();
    k_core(&mut rows, options.k_core.max(1));
    let left_out = LeftOut {
        n_repeats: n_all - n_distinct,
        n_outside_core: n_distinct - rows.len(),
    };
    check_times(&rows, options.split)?;
    let is_random = is_random(&rows, options.split);
    assign(&mut rows, options.split, &builder.users.ranks());
    let items = tally.items.take();
    let first = tally.first_refusal().map(ToString::to_string);
    let has_times = tally.has_times;
    let mut report = report(tally, left_out);
    report.add_rows(&rows, has_times);
    report.add_ties(&rows, options.split);
    let split = all_in_one_split(&rows);
    let rows = number(builder, rows, &taken)?;
    let mut dataset = Dataset::new(name, options.catalog.clone(), rows);
    if options.needs_random_split && !is_random {
        return Err(Error::Option(
            "`--splits-of` has no effect: the rows say their split themselves, or times do"
                .to_owned(),
        ));
    }
    if let Some(earlier) = &options.splits_of
        && is_random
    {
        let n_kept = dataset.keep_splits(earlier);
        report.add_kept_splits(n_kept, &earlier.manifest.name);
    }
    if let Some(why) = why_empty(&dataset, split) {
        let removed = steps(&report, options.k_core);
        let first = first.map(|first| format!("; first: {first}"));
        return Err(Error::Empty(format!(
            "{why} of {} lines ({removed}): nothing to train on{}",
            report.n_read,
            first.unwrap_or_default()
        )));
    }
    report.add_splits(&dataset);
    if let Some(items) = items {
        report.add_items(items, &dataset);
    }
    Ok((dataset, report))
}

fn check_refusals(tally: &Tally, allowed: f64) -> Result<(), Error> {
    let Some(first) = tally.refusals.first() else {
        return Ok(());
    };
    if tally.n_refused as f64 <= allowed * tally.n_read as f64 {
        return Ok(());
    }
    Err(Error::TooManyRefused {
        refused: tally.n_refused,
        read: tally.n_read,
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

/// Why a data set has nothing to learn from; `None` where it has.
fn why_empty(dataset: &Dataset, split: Option<&str>) -> Option<String> {
    let (n_train, n_items) =
        (dataset.manifest.n_train, dataset.manifest.n_items);
    if n_train >= 2 && n_items >= 2 {
        return None;
    }
    if let Some(split) = split {
        return Some(format!(
            "every row is in the split {split}: 0 training interactions are left"
        ));
    }
    Some(format!(
        "{n_train} training interactions with {n_items} items are left"
    ))
}
