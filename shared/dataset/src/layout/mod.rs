//! What the files of a path hold: interactions, items, reviews.

/// Folders in general: what is in a file is told from its columns.
mod folder;
/// The forms that can be asked for.
mod format;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::columns::Columns;
use crate::dataset::Split;
use crate::error::Error;
use crate::import::ImportOptions;
use crate::table::source::Source;
use crate::table::{FileForm, Hints, Table, open};

pub use format::Format;

/// A file, and what is known of it before it is opened.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) source: Source,
    pub(crate) form: Option<FileForm>,
    /// The split of all its rows.
    pub(crate) split: Option<Split>,
    /// Names of its columns, where it has no header and is known to have none.
    pub(crate) columns: Vec<String>,
}

/// The files of a path by what they hold.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) interactions: Vec<Part>,
    pub(crate) items: Vec<Part>,
    /// MovieLens 100K's items, whose genres are flags.
    pub(crate) movielens_items: Option<Source>,
    pub(crate) reviews: Vec<Part>,
    pub(crate) ignored: Vec<PathBuf>,
    /// Where archives were unpacked; gone when the import ends.
    unpacked: Vec<TempDir>,
}

impl Part {
    /// A file of which nothing is known.
    pub(crate) fn of(source: Source) -> Self {
        Self {
            source,
            form: None,
            split: None,
            columns: Vec::new(),
        }
    }

    /// Opens the file as a table.
    pub(crate) fn open(
        &self,
        columns: &Columns,
        delimiter: Option<&str>,
    ) -> Result<Table, Error> {
        let names = if self.columns.is_empty() {
            &columns.all
        } else {
            &self.columns
        };
        let hints = Hints {
            form: self.form,
            delimiter,
            columns: names,
            named: &columns.given(),
        };
        open(self.source.clone(), hints)
    }
}

/// Finds out what the files of a path hold.
pub(crate) fn find(
    path: &Path,
    options: &ImportOptions,
) -> Result<Layout, Error> {
    let mut layout = Layout::default();
    let source = layout.unpacked(Source::at(path))?;
    if source.path.is_dir() {
        match options.format {
            Some(Format::Npz) => layout.add_matrices(&source)?,
            Some(
                Format::Csv | Format::Tsv | Format::Jsonl | Format::Parquet,
            )
            | Some(Format::Folder | Format::Amazon)
            | Some(Format::Movielens100k | Format::Movielens1m)
            | Some(Format::Movielens25m)
            | None => layout.add_folder(&source, options)?,
        }
        return Ok(layout);
    }
    let mut part = Part::of(source);
    part.form = options.format.and_then(Format::of_file);
    if is_movielens_100k(&part.source) {
        part.columns = ratings_columns();
    }
    layout.interactions.push(part);
    Ok(layout)
}

/// Finds the items that a path holds: a file, or those of a folder.
pub(crate) fn find_items(
    path: &Path,
    options: &ImportOptions,
) -> Result<Layout, Error> {
    let mut layout = Layout::default();
    let source = layout.unpacked(Source::at(path))?;
    if !source.path.is_dir() {
        if source
            .shown
            .file_name()
            .is_some_and(|name| name == "u.item")
        {
            layout.movielens_items = Some(source);
        } else {
            layout.items.push(Part::of(source));
        }
        return Ok(layout);
    }
    layout.add_files(&source, options)?;
    if layout.items.is_empty() && layout.movielens_items.is_none() {
        return Err(
            source.malformed("no file of items in this folder; name the file")
        );
    }
    Ok(layout)
}

impl Layout {
    /// A source that is no archive: one is unpacked, and is the file in it
    /// where there is one only.
    fn unpacked(&mut self, source: Source) -> Result<Source, Error> {
        if !source.path.exists() {
            return Err(source.malformed("no such file or folder"));
        }
        if source.path.is_dir() || !source.is_zip()? {
            return Ok(source);
        }
        let folder = tempfile::tempdir().map_err(Error::file(&source.shown))?;
        source.unpack(folder.path())?;
        let whole = Source {
            path: folder.path().to_owned(),
            shown: source.shown,
        };
        self.unpacked.push(folder);
        let files = folder::files_in(&whole)?;
        match <[Source; 1]>::try_from(files) {
            Ok([only]) => Ok(only),
            Err(_) => Ok(whole),
        }
    }
}

/// The columns of MovieLens' ratings, which have no header.
fn ratings_columns() -> Vec<String> {
    ["user_id", "item_id", "rating", "timestamp"]
        .map(str::to_owned)
        .to_vec()
}

/// `u.data` and the parts of it that are published beside it.
fn is_movielens_100k(source: &Source) -> bool {
    let name = source.shown.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let Some((stem, kind)) = name.split_once('.') else {
        return false;
    };
    matches!(stem, "u" | "u1" | "u2" | "u3" | "u4" | "u5" | "ua" | "ub")
        && matches!(kind, "data" | "base" | "test")
}
