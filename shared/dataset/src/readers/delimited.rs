//! CSV and TSV with a header.

use std::path::Path;

use csv::StringRecord;

use crate::builder::Builder;
use crate::cells::Cells;
use crate::columns::{Columns, find_columns};
use crate::error::Error;
use crate::readers::file::open;

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
    let header = reader.headers().map_err(|e| Error::malformed(path, e))?;
    let names: Vec<&str> = header.iter().collect();
    let columns = find_columns(path, columns, &names)?;
    let n_columns = header.len();
    let mut record = StringRecord::new();
    loop {
        let line = reader.position().line() as usize;
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) if record.len() != n_columns => {
                let n_cells = record.len();
                let reason =
                    format!("has {n_cells} cells, the header has {n_columns}");
                builder.refuse(path, line, reason);
            }
            Ok(true) => {
                let mut cells = Cells::default();
                for column in &columns {
                    cells.set(column.field, &record[column.position]);
                }
                builder.interaction(path, line, &cells);
            }
            Err(e) if matches!(e.kind(), csv::ErrorKind::Utf8 { .. }) => {
                builder.refuse(path, line, "is not UTF-8".to_owned());
            }
            Err(e) => return Err(Error::malformed(path, e)),
        }
    }
}
