//! Saved scipy matrices (`.npz`) as rows: one for each number that is not zero.
//! Nothing pickled is ever opened.

use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;

use npyz::NpyFile;
use zip::ZipArchive;

use crate::error::Error;
use crate::table::source::Source;
use crate::table::{Cell, TakeRow, positions};

/// The columns of a matrix: row and column are the ids, `timestamp` is the
/// place in the row, `value` the number.
pub(crate) fn names() -> Vec<String> {
    ["user_id", "item_id", "timestamp", "value"]
        .map(str::to_owned)
        .to_vec()
}

/// A matrix's entries.
struct Entries {
    rows: Vec<i64>,
    columns: Vec<i64>,
    values: Vec<f64>,
}

/// Gives each entry's cells of the wanted columns.
pub(crate) fn each_row(
    source: &Source,
    wanted: &[String],
    take: TakeRow<'_>,
) -> Result<usize, Error> {
    let entries = entries(source)?;
    let positions = positions(&names(), wanted);
    let (mut last_row, mut place) = (None, 0);
    for (number, row) in entries.rows.iter().enumerate() {
        if last_row != Some(row) {
            (last_row, place) = (Some(row), 0);
        }
        let value = entries.values[number];
        let of_row = [
            Cell::Integer(*row),
            Cell::Integer(entries.columns[number]),
            Cell::Integer(place),
            Cell::Float(value),
        ];
        place += 1;
        if value == 0.0 {
            continue;
        }
        let mut cells = Vec::with_capacity(positions.len());
        for position in &positions {
            cells.push(match position {
                Some(position) => of_row[*position].clone(),
                None => Cell::Missing,
            });
        }
        if !take(number + 1, Ok(&cells)) {
            break;
        }
    }
    Ok(0)
}

/// The entries, by row; a CSC matrix keeps them by column.
fn entries(source: &Source) -> Result<Entries, Error> {
    let format = format(source)?;
    let values = numbers(source, "data")?;
    let (rows, columns) = match format.as_str() {
        "coo" => (integers(source, "row")?, integers(source, "col")?),
        "csr" | "csc" => {
            let starts = integers(source, "indptr")?;
            let inner = integers(source, "indices")?;
            (spread(source, &starts, inner.len())?, inner)
        }
        _ => {
            return Err(source.malformed(format!(
                "is in the form `{format}`; save it with `.tocsr()`"
            )));
        }
    };
    if rows.len() != columns.len() || columns.len() != values.len() {
        return Err(source.malformed(
            "is no matrix: its rows, columns and data do not fit each other",
        ));
    }
    let (rows, columns) = match format.as_str() {
        "csc" => (columns, rows),
        _ => (rows, columns),
    };
    Ok(Entries {
        rows,
        columns,
        values,
    })
}

/// The row of each of `n` entries, from where each row starts.
fn spread(
    source: &Source,
    starts: &[i64],
    n: usize,
) -> Result<Vec<i64>, Error> {
    let covers = starts.first() == Some(&0)
        && starts.last().copied() == i64::try_from(n).ok()
        && starts.is_sorted();
    if !covers {
        return Err(source.malformed(
            "is no matrix: indptr, indices and data do not fit each other",
        ));
    }
    let mut rows = Vec::with_capacity(n);
    for (row, span) in (0_i64..).zip(starts.windows(2)) {
        for _ in span[0]..span[1] {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The name of the matrix's form, as scipy writes it: bytes, or text of old.
fn format(source: &Source) -> Result<String, Error> {
    if let Ok(names) = array::<String>(source, "format") {
        return Ok(names.concat());
    }
    let names: Vec<Vec<u8>> = array(source, "format")?;
    Ok(String::from_utf8_lossy(&names.concat()).into_owned())
}

/// Reads an array of whole numbers of any width.
fn integers(source: &Source, name: &str) -> Result<Vec<i64>, Error> {
    let numbers = numbers(source, name)?;
    let mut integers = Vec::with_capacity(numbers.len());
    for number in numbers {
        integers.push(number as i64);
    }
    Ok(integers)
}

/// Reads an array of floats, flags or integers of any width.
fn numbers(source: &Source, name: &str) -> Result<Vec<f64>, Error> {
    if let Ok(numbers) = array::<f64>(source, name) {
        return Ok(numbers);
    }
    if let Some(numbers) = narrow::<i32>(source, name)
        .or_else(|| narrow::<f32>(source, name))
        .or_else(|| narrow::<i8>(source, name))
        .or_else(|| narrow::<u8>(source, name))
        .or_else(|| narrow::<i16>(source, name))
        .or_else(|| narrow::<u16>(source, name))
        .or_else(|| narrow::<u32>(source, name))
    {
        return Ok(numbers);
    }
    if let Ok(flags) = array::<bool>(source, name) {
        return Ok(flags
            .into_iter()
            .map(|flag| f64::from(u8::from(flag)))
            .collect());
    }
    if let Ok(numbers) = array::<u64>(source, name) {
        return Ok(numbers.into_iter().map(|number| number as f64).collect());
    }
    let numbers = array::<i64>(source, name)?;
    Ok(numbers.into_iter().map(|number| number as f64).collect())
}

/// An array of a type whose numbers fit into an f64.
fn narrow<T: npyz::Deserialize + Into<f64>>(
    source: &Source,
    name: &str,
) -> Option<Vec<f64>> {
    let numbers = array::<T>(source, name).ok()?;
    Some(numbers.into_iter().map(Into::into).collect())
}

/// One array of an `.npz`, which is a zip of `.npy` files.
fn array<T: npyz::Deserialize>(
    source: &Source,
    name: &str,
) -> Result<Vec<T>, Error> {
    let file = File::open(&source.path).map_err(Error::file(&source.shown))?;
    let archive = ZipArchive::new(BufReader::new(file));
    let mut archive = archive.map_err(|e| source.malformed(e))?;
    let Some(place) = archive.index_for_name(&format!("{name}.npy")) else {
        return Err(source.malformed(format!("array `{name}` is missing")));
    };
    let file = archive
        .by_index(place)
        .map_err(|e| malformed_array(source, name, e))?;
    let array = NpyFile::new(file).and_then(NpyFile::into_vec);
    array.map_err(|e| malformed_array(source, name, e))
}

fn malformed_array(source: &Source, name: &str, reason: impl Display) -> Error {
    source.malformed(format!("array `{name}`: {reason}"))
}
