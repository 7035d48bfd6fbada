//! The numbers of a model as it was measured, beside those of its final fit:
//! `measured.safetensors`, for a hybrid `measured-light.safetensors`, and where
//! it learned from more than its data set says the splits that it had,
//! `measured-splits.bin`, in the model's folder. A scorer reads none of them.
//!
//! They have learned from the training split alone. So a later job can start
//! from them and still be measured, and two versions can be compared on what
//! neither has seen.

use std::path::Path;

use crate::artifact::TABLES;
use crate::error::Error;
use crate::light::ease::ItemWeights;
use crate::tensors::{TensorFile, write_tensors};
use crate::tokens::tables::Tables;

const MEASURED_TABLES: &str = "measured.safetensors";
const MEASURED_LIGHT: &str = "measured-light.safetensors";
/// The splits of a measured fit, a byte an interaction of its data set; absent
/// where they are the stored ones.
pub const MEASURED_SPLITS: &str = "measured-splits.bin";
/// All files of a measured fit.
const FILES: [&str; 3] = [MEASURED_TABLES, MEASURED_LIGHT, MEASURED_SPLITS];

/// Which of a model's two fits is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitKind {
    /// The one that was measured.
    Measured,
    /// The one that is served.
    Served,
}

/// Writes the numbers of a measured model into an existing folder.
pub fn write_measured(
    folder: &Path,
    tables: &Tables,
    light: Option<&ItemWeights>,
) -> Result<(), Error> {
    write_tensors(&folder.join(MEASURED_TABLES), &tables.tensors(""))?;
    match light {
        Some(light) => light.write(&folder.join(MEASURED_LIGHT)),
        None => Ok(()),
    }
}

/// Copies them from folder to folder; nothing where there are none.
pub fn copy_measured(from: &Path, to: &Path) -> Result<(), Error> {
    for name in FILES {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            std::fs::copy(&from, &to).map_err(Error::file(&to))?;
        }
    }
    Ok(())
}

/// The size of what a model's folder has of its measured fit, in bytes.
pub fn n_measured_bytes(folder: &Path) -> u64 {
    let found = FILES.iter().map(|name| folder.join(name).metadata());
    found.flatten().map(|file| file.len()).sum()
}

/// True where a model's folder has the numbers of the measured model apart.
pub fn has_measured(folder: &Path) -> bool {
    folder.join(MEASURED_TABLES).exists()
}

/// Reads the tables of one of a model's fits; those that are served where the
/// others are not apart.
pub fn read_tables(folder: &Path, fit: FitKind) -> Result<Tables, Error> {
    let name = match fit {
        FitKind::Measured if has_measured(folder) => MEASURED_TABLES,
        FitKind::Measured | FitKind::Served => TABLES,
    };
    Tables::read(&TensorFile::open(&folder.join(name))?, "")
}

/// Reads the light model of the measured model of a hybrid with a catalogue of
/// `n_items`, where it is apart.
pub fn read_measured_light(
    folder: &Path,
    n_items: usize,
) -> Result<Option<ItemWeights>, Error> {
    let path = folder.join(MEASURED_LIGHT);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(ItemWeights::read(&path, n_items)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_a_measured_fit_are_copied_and_counted_and_no_other() {
        let (from, to) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tables = Tables::normal(3, 2, 4, 0);
        write_measured(from.path(), &tables, None).unwrap();
        std::fs::write(from.path().join(MEASURED_SPLITS), [0, 1, 2]).unwrap();
        std::fs::write(from.path().join(TABLES), "served").unwrap();
        copy_measured(from.path(), to.path()).unwrap();
        assert!(has_measured(to.path()));
        assert!(!to.path().join(TABLES).exists());
        let written = to.path().join(MEASURED_TABLES).metadata().unwrap();
        assert_eq!(n_measured_bytes(to.path()), written.len() + 3);
        assert_eq!(n_measured_bytes(from.path()), written.len() + 3);
    }
}
