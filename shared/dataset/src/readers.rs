//! One reader a form; each feeds the builder.

pub(crate) mod delimited;
mod file;
pub(crate) mod jsonl;
mod movielens;
mod npz;
mod parquet;
mod python;

use std::path::{Path, PathBuf};

use crate::builder::Builder;
use crate::columns::Columns;
use crate::error::Error;
use crate::format::{AmazonFiles, Format};

/// Reads a path in the form that it has.
pub(crate) fn read(
    builder: &mut Builder,
    path: &Path,
    format: Format,
    columns: &Columns,
) -> Result<(), Error> {
    match format {
        Format::Folder => read_folder(builder, path, columns),
        Format::Csv => delimited::interactions(builder, path, b',', columns),
        Format::Tsv => delimited::interactions(builder, path, b'\t', columns),
        Format::Jsonl => jsonl::interactions(builder, path, columns),
        Format::Parquet => parquet::interactions(builder, path, columns),
        Format::Amazon => read_amazon(builder, path, columns),
        Format::Movielens100k => movielens::read_100k(builder, path),
        Format::Movielens1m => movielens::read_1m(builder, path),
        Format::Movielens25m => movielens::read_25m(builder, path),
        Format::Npz => npz::matrices(builder, path),
    }
}

fn read_folder(
    builder: &mut Builder,
    folder: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    let Some(interactions) = plain_or_packed(folder, "interactions.csv") else {
        let reason = "interactions.csv[.gz] is missing";
        return Err(Error::malformed(folder, reason));
    };
    delimited::interactions(builder, &interactions, b',', columns)?;
    if let Some(items) = plain_or_packed(folder, "items.jsonl") {
        jsonl::items(builder, &items)?;
    }
    if let Some(reviews) = plain_or_packed(folder, "reviews.jsonl") {
        jsonl::reviews(builder, &reviews)?;
    }
    Ok(())
}

/// A file of a folder, as it is or with `.gz` behind its name.
fn plain_or_packed(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = folder.join(name);
    if plain.is_file() {
        return Some(plain);
    }
    let packed = folder.join(format!("{name}.gz"));
    packed.is_file().then_some(packed)
}

fn read_amazon(
    builder: &mut Builder,
    folder: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    let files = AmazonFiles::find(folder)?;
    for file in &files.reviews {
        jsonl::interactions(builder, file, columns)?;
    }
    for file in &files.metadata {
        jsonl::items(builder, file)?;
    }
    Ok(())
}
