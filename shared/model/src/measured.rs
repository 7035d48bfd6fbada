//! The numbers of a model as it was measured, beside those of its final fit:
//! `measured.safetensors` and for a hybrid `measured-light.safetensors` in the
//! model's folder.
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
    for name in [MEASURED_TABLES, MEASURED_LIGHT] {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            std::fs::copy(&from, &to).map_err(Error::file(&to))?;
        }
    }
    Ok(())
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
