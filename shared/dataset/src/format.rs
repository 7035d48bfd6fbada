//! The forms of data that are read, and how a path's form is recognised.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The forms that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder with `interactions.csv[.gz]`, `items.jsonl[.gz]` and
    /// `reviews.jsonl[.gz]`.
    Folder,
    /// Comma-separated cells below a header.
    Csv,
    /// Tab-separated cells below a header.
    Tsv,
    /// One JSON object a line; Amazon's review files are of this form.
    Jsonl,
    /// A Parquet file with a flat schema.
    Parquet,
    /// A folder of Amazon's 2014 or 2018 files: reviews, and metadata in files
    /// that start with `meta`.
    Amazon,
    /// A folder with MovieLens 100K (`u.data`, `u.item`).
    Movielens100k,
    /// A folder with MovieLens 1M (`ratings.dat`, `movies.dat`).
    Movielens1m,
    /// A folder with MovieLens 25M (`ratings.csv`, `movies.csv`).
    Movielens25m,
    /// The published code's matrices (`train_matrix.npz`, `val_matrix.npz`,
    /// `test_matrix.npz`; scipy CSR).
    Npz,
}

/// The form of a path, from the files that are there.
pub(crate) fn recognise(path: &Path) -> Result<Format, Error> {
    if path.is_dir() {
        return recognise_folder(path);
    }
    if !path.exists() {
        return Err(Error::malformed(path, "no such file or folder"));
    }
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().to_ascii_lowercase();
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

fn recognise_folder(folder: &Path) -> Result<Format, Error> {
    if has_any(folder, &["interactions.csv", "interactions.csv.gz"]) {
        return Ok(Format::Folder);
    }
    if has_all(folder, &["u.data"]) {
        return Ok(Format::Movielens100k);
    }
    if has_all(folder, &["ratings.dat"]) {
        return Ok(Format::Movielens1m);
    }
    if has_all(folder, &["ratings.csv", "movies.csv"]) {
        return Ok(Format::Movielens25m);
    }
    if has_all(folder, &["train_matrix.npz"]) {
        return Ok(Format::Npz);
    }
    if !AmazonFiles::find(folder)?.reviews.is_empty() {
        return Ok(Format::Amazon);
    }
    Err(Error::malformed(
        folder,
        "no known data set in this folder; name a file, or see `dataset import --help`",
    ))
}

fn has_any(folder: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| folder.join(name).is_file())
}

fn has_all(folder: &Path, names: &[&str]) -> bool {
    names.iter().all(|name| folder.join(name).is_file())
}

/// The JSON files of a folder of Amazon's, by name.
#[derive(Debug, Default)]
pub(crate) struct AmazonFiles {
    pub(crate) reviews: Vec<PathBuf>,
    /// Files that start with `meta`.
    pub(crate) metadata: Vec<PathBuf>,
}

impl AmazonFiles {
    pub(crate) fn find(folder: &Path) -> Result<Self, Error> {
        let mut files = Self::default();
        for entry in std::fs::read_dir(folder).map_err(Error::file(folder))? {
            let path = entry.map_err(Error::file(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let unpacked = name.strip_suffix(".gz").unwrap_or(&name);
            if !unpacked.ends_with(".json") && !unpacked.ends_with(".jsonl") {
                continue;
            }
            if name.starts_with("meta") {
                files.metadata.push(path);
            } else {
                files.reviews.push(path);
            }
        }
        files.reviews.sort();
        files.metadata.sort();
        Ok(files)
    }
}
