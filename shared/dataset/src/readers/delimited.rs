//! CSV and TSV with a header.

use std::path::Path;

use crate::Error;
use crate::builder::Builder;
use crate::fields::{Cells, Columns, Field};
use crate::readers::open;

/// Reads interactions; a user and an item column must be there.
pub(crate) fn interactions(
    builder: &mut Builder,
    path: &Path,
    delimiter: u8,
    columns: &Columns,
) -> Result<(), Error> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(open(path)?);
    let header = reader
        .headers()
        .map_err(|e| Error::malformed(path, e))?
        .clone();
    let places = places(path, columns, &header.iter().collect::<Vec<_>>())?;
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line() as usize;
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) if record.len() != header.len() => {
                builder.n_read += 1;
                builder.refuse(
                    path,
                    line,
                    format!(
                        "has {} cells, the header has {}",
                        record.len(),
                        header.len()
                    ),
                );
            }
            Ok(true) => {
                let mut cells = Cells::default();
                for &(field, place) in &places {
                    cells.set(field, &record[place]);
                }
                builder.interaction(path, line, &cells);
            }
            Err(e) if matches!(e.kind(), csv::ErrorKind::Utf8 { .. }) => {
                builder.n_read += 1;
                builder.refuse(path, line, "is not UTF-8".to_owned());
            }
            Err(e) => return Err(Error::malformed(path, e)),
        }
    }
}

/// The columns that mean something; without a user and an item column the file cannot be read.
pub(crate) fn places(
    path: &Path,
    columns: &Columns,
    header: &[&str],
) -> Result<Vec<(Field, usize)>, Error> {
    let mut places = Vec::new();
    for field in Field::ALL {
        match field.find(columns, header.iter().copied()) {
            Some(place) => places.push((field, place)),
            None if field.given(columns).is_some() => {
                let name = field.given(columns).map(String::as_str).unwrap_or_default();
                let reason = format!("no column `{name}` among `{}`", header.join(", "));
                return Err(Error::malformed(path, reason));
            }
            None if matches!(field, Field::User | Field::Item) => {
                let kind = if field == Field::User { "user" } else { "item" };
                let reason = format!(
                    "no {kind} column among `{}`; name it with `--{kind}-column`",
                    header.join(", ")
                );
                return Err(Error::malformed(path, reason));
            }
            None => {}
        }
    }
    Ok(places)
}
