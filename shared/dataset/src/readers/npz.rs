//! The published code's interaction matrices: one scipy CSR `.npz` a split. Nothing pickled is ever
//! opened.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use npyz::NpyFile;
use zip::ZipArchive;

use crate::Error;
use crate::builder::Builder;
use crate::fields::Cells;

/// Reads `train_matrix.npz` and, where they are there, `val_matrix.npz` and `test_matrix.npz`. Row
/// and column numbers become the ids; the time is the place in the row.
pub(crate) fn matrices(builder: &mut Builder, folder: &Path) -> Result<(), Error> {
    for (name, split) in [("train", "train"), ("val", "valid"), ("test", "test")] {
        let path = folder.join(format!("{name}_matrix.npz"));
        if path.is_file() {
            matrix(builder, &path, split)?;
        } else if name == "train" {
            return Err(Error::malformed(path, "is missing"));
        }
    }
    Ok(())
}

fn matrix(builder: &mut Builder, path: &Path, split: &str) -> Result<(), Error> {
    check_format(path)?;
    let starts = integers(path, "indptr")?;
    let columns = integers(path, "indices")?;
    let data = numbers(path, "data")?;
    let ends_fit = starts
        .last()
        .is_some_and(|&end| end as usize == columns.len())
        && data.len() == columns.len();
    if !ends_fit || starts.windows(2).any(|pair| pair[0] > pair[1]) || starts[0] != 0 {
        return Err(Error::malformed(
            path,
            "is no CSR matrix: indptr, indices and data do not fit each other",
        ));
    }
    for (row, span) in starts.windows(2).enumerate() {
        let user = row.to_string();
        for place in span[0]..span[1] {
            if data[place as usize] == 0.0 {
                continue;
            }
            let (item, time) = (
                columns[place as usize].to_string(),
                (place - span[0]).to_string(),
            );
            let cells = Cells {
                user: Some(&user),
                item: Some(&item),
                timestamp: Some(&time),
                split: Some(split),
                ..Cells::default()
            };
            builder.interaction(path, row + 1, &cells);
        }
    }
    Ok(())
}

/// scipy names the form; a CSC matrix would be read with users and items swapped.
fn check_format(path: &Path) -> Result<(), Error> {
    let format: Vec<Vec<u8>> = array(path, "format")?;
    let format = format.concat();
    if format != b"csr" {
        let reason = format!(
            "is in the form `{}`; save it with `.tocsr()`",
            String::from_utf8_lossy(&format)
        );
        return Err(Error::malformed(path, reason));
    }
    Ok(())
}

/// An i32 or i64 array, as scipy writes indices.
fn integers(path: &Path, name: &str) -> Result<Vec<i64>, Error> {
    if let Ok(short) = array::<i32>(path, name) {
        return Ok(short.into_iter().map(i64::from).collect());
    }
    array::<i64>(path, name)
}

/// A float or integer array.
fn numbers(path: &Path, name: &str) -> Result<Vec<f64>, Error> {
    if let Ok(floats) = array::<f32>(path, name) {
        return Ok(floats.into_iter().map(f64::from).collect());
    }
    if let Ok(floats) = array::<f64>(path, name) {
        return Ok(floats);
    }
    if let Ok(flags) = array::<u8>(path, name).or_else(|_| {
        let flags = array::<bool>(path, name)?;
        Ok::<_, Error>(flags.into_iter().map(u8::from).collect())
    }) {
        return Ok(flags.into_iter().map(f64::from).collect());
    }
    Ok(integers(path, name)?
        .into_iter()
        .map(|number| number as f64)
        .collect())
}

/// An `.npz` is a zip of `.npy` files.
fn array<T: npyz::Deserialize>(path: &Path, name: &str) -> Result<Vec<T>, Error> {
    let malformed = |reason: String| Error::malformed(path, format!("array `{name}`: {reason}"));
    let file = File::open(path).map_err(Error::file(path))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|e| Error::malformed(path, e))?;
    let place = archive.index_for_name(&format!("{name}.npy"));
    let place =
        place.ok_or_else(|| Error::malformed(path, format!("array `{name}` is missing")))?;
    let array = archive
        .by_index(place)
        .map_err(|e| malformed(e.to_string()))?;
    NpyFile::new(array)
        .and_then(NpyFile::into_vec)
        .map_err(|e| malformed(e.to_string()))
}
