//! Parquet.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field as Value;

use crate::Error;
use crate::builder::Builder;
use crate::fields::{Cells, Columns, Field};
use crate::readers::delimited::places;

/// Reads interactions; a user and an item column must be there.
pub(crate) fn interactions(
    builder: &mut Builder,
    path: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let reader = SerializedFileReader::new(file).map_err(|e| Error::malformed(path, e))?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let names: Vec<&str> = schema
        .get_fields()
        .iter()
        .map(|field| field.name())
        .collect();
    let places = places(path, columns, &names)?;
    let rows = reader
        .get_row_iter(None)
        .map_err(|e| Error::malformed(path, e))?;
    for (number, row) in rows.enumerate() {
        let row = row.map_err(|e| Error::malformed(path, e))?;
        let values: Vec<&Value> = row.get_column_iter().map(|(_, value)| value).collect();
        let found: Vec<(Field, String)> = places
            .iter()
            .filter_map(|&(field, place)| Some((field, text_of(values[place])?)))
            .collect();
        let mut cells = Cells::default();
        found
            .iter()
            .for_each(|(field, cell)| cells.set(*field, cell));
        builder.interaction(path, number + 1, &cells);
    }
    Ok(())
}

/// A scalar as text, times as milliseconds; `None` for null.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "numbers and flags, of all widths, are printed as parquet prints them"
)]
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Str(text) => Some(text.clone()),
        Value::TimestampMillis(ms) => Some(ms.to_string()),
        Value::TimestampMicros(us) => Some((us / 1_000).to_string()),
        other => Some(other.to_string()),
    }
}
