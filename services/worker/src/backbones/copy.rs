//! Copies a backbone's files, and no others, from a folder or a GGUF file.

use std::path::Path;

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

/// Copies a GGUF file, or a folder's backbone, into another folder.
pub(super) fn copy(from: &Path, into: &Path) -> Result<(), Error> {
    for path in model::weight_files(from).map_err(Error::Backbone)? {
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

fn copy_file(path: &Path, into: &Path) -> Result<(), Error> {
    let place = into.join(path.file_name().unwrap_or_default());
    std::fs::copy(path, &place).map_err(Error::file(path))?;
    let file = disk::open(&place)?;
    file.sync_all().map_err(Error::file(&place))
}
