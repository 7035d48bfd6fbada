//! Parquet files with a flat schema, one interaction a row.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field as Value, Row};

use crate::builder::Builder;
use crate::cells::Cells;
use crate::columns::{Column, Columns, Field, find_columns};
use crate::error::Error;

/// Reads interactions; a user and an item column must be there.
pub(crate) fn interactions(
    builder: &mut Builder,
    path: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let reader = SerializedFileReader::new(file)
        .map_err(|e| Error::malformed(path, e))?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let fields = schema.get_fields().iter();
    let names: Vec<&str> = fields.map(|field| field.name()).collect();
    let columns = find_columns(path, columns, &names)?;
    let rows = reader.get_row_iter(None);
    let rows = rows.map_err(|e| Error::malformed(path, e))?;
    for (number, row) in (1..).zip(rows) {
        let row = row.map_err(|e| Error::malformed(path, e))?;
        let fields = fields_of(&row, &columns);
        builder.interaction(path, number, &Cells::of(&fields));
    }
    Ok(())
}

/// The cells of a row that mean something and are not null.
fn fields_of(row: &Row, columns: &[Column]) -> Vec<(Field, String)> {
    let values: Vec<&Value> =
        row.get_column_iter().map(|(_, value)| value).collect();
    let mut fields = Vec::new();
    for column in columns {
        if let Some(text) = text_of(values[column.position]) {
            fields.push((column.field, text));
        }
    }
    fields
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
