//! The published code's interaction matrices: one scipy CSR `.npz` a split.
//! Nothing pickled is ever opened.

use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use npyz::NpyFile;
use zip::ZipArchive;

use crate::builder::Builder;
use crate::cells::Cells;
use crate::error::Error;

/// Reads `train_matrix.npz` and, where they are there, `val_matrix.npz` and
/// `test_matrix.npz`. Row and column numbers become the ids; the time is the
/// place in the row.
pub(crate) fn matrices(
    builder: &mut Builder,
    folder: &Path,
) -> Result<(), Error> {
    for (name, split) in
        [("train", "train"), ("val", "valid"), ("test", "test")]
    {
        let path = folder.join(format!("{name}_matrix.npz"));
        if path.is_file() {
            matrix(builder, &path, split)?;
        } else if name == "train" {
            return Err(Error::malformed(path, "is missing"));
        }
    }
    Ok(())
}

fn matrix(
    builder: &mut Builder,
    path: &Path,
    split: &str,
) -> Result<(), Error> {
    check_format(path)?;
    let starts = integers(path, "indptr")?;
    let columns = integers(path, "indices")?;
    let data = numbers(path, "data")?;
    if !is_csr(&starts, columns.len(), data.len()) {
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
            let item = columns[place as usize].to_string();
            let time = (place - span[0]).to_string();
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

/// True when rows that begin at `starts` cover columns and data from end to
/// end.
fn is_csr(starts: &[i64], n_columns: usize, n_data: usize) -> bool {
    let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
        return false;
    };
    first == 0
        && last as usize == n_columns
        && n_data == n_columns
        && starts.is_sorted()
}

/// Refuses a matrix that scipy names in another form: a CSC matrix would be
/// read with users and items swapped.
fn check_format(path: &Path) -> Result<(), Error> {
    let format: Vec<Vec<u8>> = array(path, "format")?;
    let format = format.concat();
    if format != b"csr" {
        let format = String::from_utf8_lossy(&format);
        let reason =
            format!("is in the form `{format}`; save it with `.tocsr()`");
        return Err(Error::malformed(path, reason));
    }
    Ok(())
}

/// Reads an i32 or i64 array, as scipy writes indices.
fn integers(path: &Path, name: &str) -> Result<Vec<i64>, Error> {
    if let Ok(short) = array::<i32>(path, name) {
        return Ok(short.into_iter().map(i64::from).collect());
    }
    array::<i64>(path, name)
}

/// Reads an array of floats, flags or integers.
fn numbers(path: &Path, name: &str) -> Result<Vec<f64>, Error> {
    if let Ok(floats) = array::<f32>(path, name) {
        return Ok(floats.into_iter().map(f64::from).collect());
    }
    if let Ok(floats) = array::<f64>(path, name) {
        return Ok(floats);
    }
    if let Ok(flags) = array::<u8>(path, name) {
        return Ok(flags.into_iter().map(f64::from).collect());
    }
    if let Ok(flags) = array::<bool>(path, name) {
        let flags = flags.into_iter().map(u8::from);
        return Ok(flags.map(f64::from).collect());
    }
    let integers = integers(path, name)?;
    Ok(integers.into_iter().map(|number| number as f64).collect())
}

/// One array of an `.npz`, which is a zip of `.npy` files.
fn array<T: npyz::Deserialize>(
    path: &Path,
    name: &str,
) -> Result<Vec<T>, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let archive = ZipArchive::new(BufReader::new(file));
    let mut archive = archive.map_err(|e| Error::malformed(path, e))?;
    let Some(place) = archive.index_for_name(&format!("{name}.npy")) else {
        let reason = format!("array `{name}` is missing");
        return Err(Error::malformed(path, reason));
    };
    let file = archive
        .by_index(place)
        .map_err(|e| malformed_array(path, name, e))?;
    let array = NpyFile::new(file).and_then(NpyFile::into_vec);
    array.map_err(|e| malformed_array(path, name, e))
}

fn malformed_array(path: &Path, name: &str, reason: impl Display) -> Error {
    Error::malformed(path, format!("array `{name}`: {reason}"))
}
