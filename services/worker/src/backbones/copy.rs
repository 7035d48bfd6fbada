//! Copies a backbone's files, and no others, from a folder or a GGUF file.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Error;

/// What is copied beside the weights, where it is there: what is read, and what
/// `transformers` and people read.
const BESIDE: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "README.md",
    "LICENSE",
];
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Copies a GGUF file, or a folder's backbone, into another folder.
pub(super) fn copy(from: &Path, into: &Path) -> Result<(), Error> {
    if from.is_file() {
        return copy_file(from, into);
    }
    for path in weights(from)? {
        copy_file(&path, into)?;
    }
    for name in BESIDE {
        let path = from.join(name);
        if path.is_file() {
            copy_file(&path, into)?;
        }
    }
    Ok(())
}

/// The files of a folder that hold weights, with the index that names them.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.join("config.json").exists() {
        return gguf_files(folder);
    }
    if folder.join(WEIGHTS).exists() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    let mut paths = vec![folder.join(INDEX)];
    for name in model::shard_names(folder).map_err(Error::Backbone)? {
        paths.push(folder.join(name));
    }
    Ok(paths)
}

fn gguf_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = disk::entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "gguf"));
    Ok(paths)
}

fn copy_file(path: &Path, into: &Path) -> Result<(), Error> {
    let place = into.join(path.file_name().unwrap_or_default());
    std::fs::copy(path, &place).map_err(Error::file(path))?;
    let file = disk::open(&place)?;
    file.sync_all().map_err(Error::file(&place))
}
