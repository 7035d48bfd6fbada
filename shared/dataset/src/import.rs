//! From a path to a checked data set: recognise the form, read, filter, split, number.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use domain::{Catalog, Item, ItemId, UserId};

use crate::Error;
use crate::builder::{Builder, ItemFacts, RawText, Refusal, Row};
use crate::dataset::{Dataset, Interactions, Split, Text};
use crate::fields::Columns;
use crate::readers::{delimited, jsonl, movielens, npz, parquet};
use crate::split::{SplitRule, assign, k_core};

/// The forms that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder with `interactions.csv[.gz]`, `items.jsonl[.gz]` and `reviews.jsonl[.gz]`.
    Folder,
    /// Comma-separated with a header.
    Csv,
    /// Tab-separated with a header.
    Tsv,
    /// One JSON object a line; Amazon's review files are of this form.
    Jsonl,
    /// Parquet.
    Parquet,
    /// A folder of Amazon's 2014 or 2018 files: reviews, and metadata in files that start with
    /// `meta`.
    Amazon,
    /// MovieLens 100K (`u.data`).
    Movielens100k,
    /// MovieLens 1M (`ratings.dat`).
    Movielens1m,
    /// MovieLens 25M (`ratings.csv`, `movies.csv`).
    Movielens25m,
    /// The published code's matrices (`train_matrix.npz`, `val_matrix.npz`, `test_matrix.npz`;
    /// scipy CSR).
    Npz,
}

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Recognised from the path when absent.
    pub format: Option<Format>,
    /// Column names that are not to be guessed.
    pub columns: Columns,
    /// A JSONL file with titles, categories and attributes, for forms that bring none.
    pub items: Option<PathBuf>,
    /// What people call it; the path's last part when absent.
    pub name: Option<String>,
    /// Namespace of the item ids and histories.
    pub catalog: Catalog,
    /// How to split.
    pub split: SplitRule,
    /// Users and items keep at least this many interactions.
    pub k_core: usize,
    /// Interactions rated lower are left out.
    pub min_rating: Option<f64>,
    /// Items that have a title and no interaction stay in the catalogue.
    pub with_new_items: bool,
    /// The import fails when a larger share of the lines is refused.
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
    /// Lines read.
    pub n_read: usize,
    /// Lines refused.
    pub n_refused: usize,
    /// The first refused lines.
    pub refusals: Vec<Refusal>,
    /// Interactions below `min_rating`.
    pub n_below_rating: usize,
    /// Repeats of the same user and item; the earliest is kept.
    pub n_repeats: usize,
    /// Interactions that the k-core left out.
    pub n_outside_core: usize,
}

/// Reads `path` and makes a data set of it.
pub fn import(path: &Path, options: &ImportOptions) -> Result<(Dataset, Report), Error> {
    let format = options.format.map_or_else(|| recognise(path), Ok)?;
    let (min_rating, with_new_items) = (options.min_rating, options.with_new_items);
    let mut builder = Builder {
        min_rating,
        with_new_items,
        ..Builder::default()
    };
    read(&mut builder, path, format, &options.columns)?;
    if let Some(items) = &options.items {
        jsonl::items(&mut builder, items)?;
    }
    let name = options.name.clone().unwrap_or_else(|| {
        path.file_name().map_or_else(
            || "dataset".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    });
    finish(builder, name, options)
}

/// The form of a path, from the files that are there.
fn recognise(path: &Path) -> Result<Format, Error> {
    let here = |name: &str| path.join(name).is_file();
    if path.is_dir() {
        return if here("interactions.csv") || here("interactions.csv.gz") {
            Ok(Format::Folder)
        } else if here("u.data") {
            Ok(Format::Movielens100k)
        } else if here("ratings.dat") {
            Ok(Format::Movielens1m)
        } else if here("ratings.csv") && here("movies.csv") {
            Ok(Format::Movielens25m)
        } else if here("train_matrix.npz") {
            Ok(Format::Npz)
        } else if jsonl::files(path)?
            .iter()
            .any(|file| !jsonl::is_metadata(file))
        {
            Ok(Format::Amazon)
        } else {
            Err(Error::malformed(
                path,
                "no known data set in this folder; name a file, or see `dataset import --help`",
            ))
        };
    }
    if !path.exists() {
        return Err(Error::malformed(path, "no such file or folder"));
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit('.').next() {
        Some("csv") => Ok(Format::Csv),
        Some("tsv" | "txt" | "inter") => Ok(Format::Tsv),
        Some("jsonl" | "json" | "ndjson") => Ok(Format::Jsonl),
        Some("parquet") => Ok(Format::Parquet),
        _ => Err(Error::malformed(
            path,
            "unknown kind of file; name it with `--format`",
        )),
    }
}

fn read(
    builder: &mut Builder,
    path: &Path,
    format: Format,
    columns: &Columns,
) -> Result<(), Error> {
    match format {
        Format::Folder => {
            let named = |name: &str| {
                [path.join(name), path.join(format!("{name}.gz"))]
                    .into_iter()
                    .find(|p| p.is_file())
            };
            let interactions = named("interactions.csv");
            let interactions = interactions
                .ok_or_else(|| Error::malformed(path, "interactions.csv[.gz] is missing"))?;
            delimited::interactions(builder, &interactions, b',', columns)?;
            named("items.jsonl").map_or(Ok(()), |items| jsonl::items(builder, &items))?;
            named("reviews.jsonl").map_or(Ok(()), |reviews| jsonl::reviews(builder, &reviews))
        }
        Format::Csv => delimited::interactions(builder, path, b',', columns),
        Format::Tsv => delimited::interactions(builder, path, b'\t', columns),
        Format::Jsonl => jsonl::interactions(builder, path, columns),
        Format::Parquet => parquet::interactions(builder, path, columns),
        Format::Amazon => {
            let (metadata, reviews): (Vec<PathBuf>, Vec<PathBuf>) = jsonl::files(path)?
                .into_iter()
                .partition(|file| jsonl::is_metadata(file));
            reviews
                .iter()
                .try_for_each(|file| jsonl::interactions(builder, file, columns))?;
            metadata
                .iter()
                .try_for_each(|file| jsonl::items(builder, file))
        }
        Format::Movielens100k => movielens::read_100k(builder, path),
        Format::Movielens1m => movielens::read_1m(builder, path),
        Format::Movielens25m => movielens::read_25m(builder, path),
        Format::Npz => npz::matrices(builder, path),
    }
}

fn finish(
    mut builder: Builder,
    name: String,
    options: &ImportOptions,
) -> Result<(Dataset, Report), Error> {
    check_refusals(&builder, options.max_refused_share)?;
    let mut rows = std::mem::take(&mut builder.rows);
    let item_rank = ranks(&builder.items);
    rows.sort_unstable_by_key(|row| (row.user, row.at_ms, item_rank[row.item as usize]));
    let n_all = rows.len();
    drop_repeats(&mut rows, item_rank.len());
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
    if options.split == SplitRule::LeaveLastOut && rows.iter().all(|row| row.at_ms == 0) {
        return Err(Error::Empty(
            "leave-last-out needs a timestamp column: without times nothing is last".to_owned(),
        ));
    }
    assign(&mut rows, options.split, &ranks(&builder.users));
    let dataset = number(builder, (rows, &taken), name, options.catalog.clone())?;
    if dataset.manifest.n_train < 2 || dataset.manifest.n_items < 2 {
        let reason = format!(
            "{} training interactions with {} items are left of {} lines: nothing to train on",
            dataset.manifest.n_train, dataset.manifest.n_items, report.n_read
        );
        return Err(Error::Empty(reason));
    }
    Ok((dataset, report))
}

fn check_refusals(builder: &Builder, allowed: f64) -> Result<(), Error> {
    if let Some(first) = builder.refusals.first()
        && builder.n_refused as f64 > allowed * builder.n_read as f64
    {
        let first = first.to_string();
        return Err(Error::TooManyRefused {
            refused: builder.n_refused,
            read: builder.n_read,
            allowed,
            first,
        });
    }
    Ok(())
}

/// Rank of each number in the order of external ids.
fn ranks(interner: &crate::builder::Interner) -> Vec<u32> {
    let mut order = interner.by_id();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (_, number)) in order.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    ranks
}

/// Keeps the earliest of a user's repeats of an item; rows are ordered by user and time.
fn drop_repeats(rows: &mut Vec<Row>, n_items: usize) {
    let mut last_user_of = vec![u32::MAX; n_items];
    rows.retain(|row| {
        std::mem::replace(&mut last_user_of[row.item as usize], row.user) != row.user
    });
}

/// Gives users and items the row numbers of the data set: ascending by external id. `taken` are the
/// items that somebody interacted with, whether the k-core kept them or not: they are not new.
fn number(
    builder: Builder,
    (rows, taken): (Vec<Row>, &HashSet<u32>),
    name: String,
    catalog: Catalog,
) -> Result<Dataset, Error> {
    let Builder {
        users,
        items,
        mut facts,
        texts,
        with_new_items,
        ..
    } = builder;
    let is_new =
        |(number, facts): &(&u32, &ItemFacts)| !taken.contains(*number) && !facts.title.is_empty();
    let new_items: Vec<u32> = if with_new_items {
        facts
            .iter()
            .filter(is_new)
            .map(|(number, _)| *number)
            .collect()
    } else {
        Vec::new()
    };
    let (user_rows, user_ids) = renumber(users.into_ids(), rows.iter().map(|row| row.user));
    let (item_rows, item_ids) = renumber(
        items.into_ids(),
        rows.iter().map(|row| row.item).chain(new_items),
    );
    let texts = texts
        .into_iter()
        .filter_map(|text| renumbered(text, &user_rows, &item_rows))
        .collect();
    let valid_id = |invalid: domain::Invalid| {
        Error::Empty(format!("an id that was accepted is invalid: {invalid}"))
    };
    let users: Vec<UserId> = user_ids
        .into_iter()
        .map(|(id, _)| UserId::new(id).map_err(valid_id))
        .collect::<Result<_, _>>()?;
    let mut items = Vec::with_capacity(item_ids.len());
    for (id, number) in item_ids {
        let ItemFacts {
            title,
            categories,
            attributes,
        } = facts.remove(&number).unwrap_or_default();
        items.push(Item {
            id: ItemId::new(id).map_err(valid_id)?,
            title,
            categories,
            attributes,
        });
    }
    let mut rows = rows;
    rows.sort_by_key(|row| user_rows[&row.user]);
    let mut columns = Interactions::default();
    for row in rows {
        columns.users.push(user_rows[&row.user]);
        columns.items.push(item_rows[&row.item]);
        columns.at_ms.push(row.at_ms);
        columns.splits.push(row.split.unwrap_or(Split::Train));
    }
    Ok(Dataset::new(name, catalog, (users, items), columns, texts))
}

/// Row of each number that is in use, and the ids in row order with their numbers.
fn renumber(
    ids: Vec<Box<str>>,
    used: impl Iterator<Item = u32>,
) -> (HashMap<u32, u32>, Vec<(String, u32)>) {
    let mut is_used = vec![false; ids.len()];
    used.for_each(|number| is_used[number as usize] = true);
    let mut kept: Vec<(String, u32)> = ids
        .into_iter()
        .zip(0u32..)
        .filter(|(_, number)| is_used[*number as usize])
        .map(|(id, number)| (id.into_string(), number))
        .collect();
    kept.sort_unstable();
    let rows = kept
        .iter()
        .zip(0..)
        .map(|((_, number), row)| (*number, row))
        .collect();
    (rows, kept)
}

/// A text with row numbers; `None` when its user or item was left out.
fn renumbered(text: RawText, users: &HashMap<u32, u32>, items: &HashMap<u32, u32>) -> Option<Text> {
    let row = |number: Option<u32>, rows: &HashMap<u32, u32>| match number {
        Some(number) => rows.get(&number).map(|&row| Some(row)),
        None => Some(None),
    };
    Some(Text {
        kind: text.kind,
        user: row(text.user, users)?,
        item: row(text.item, items)?,
        text: text.text,
    })
}
