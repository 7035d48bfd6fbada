//! What the cells of a line say.

use crate::columns::Field;
use crate::dataset::Split;

/// One interaction as a file has it; absent cells are `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cells<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) item: Option<&'a str>,
    pub(crate) timestamp: Option<&'a str>,
    pub(crate) rating: Option<&'a str>,
    pub(crate) split: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
}

impl<'a> Cells<'a> {
    /// Sets the cells of the fields that a line has.
    pub(crate) fn of(fields: &'a [(Field, String)]) -> Self {
        let mut cells = Self::default();
        for (field, cell) in fields {
            cells.set(*field, cell);
        }
        cells
    }

    pub(crate) fn set(&mut self, field: Field, cell: &'a str) {
        let old = match field {
            Field::User => &mut self.user,
            Field::Item => &mut self.item,
            Field::Timestamp => &mut self.timestamp,
            Field::Rating => &mut self.rating,
            Field::Split => &mut self.split,
            Field::Text => &mut self.text,
        };
        *old = Some(cell);
    }
}

/// Times beyond this many seconds (the year 5138) are milliseconds.
const LARGEST_SECONDS: f64 = 1e11;

/// Beyond this (the year 5138 in milliseconds) they are microseconds, and
/// beyond a thousand times that nanoseconds.
const LARGEST_MILLISECONDS: f64 = 1e14;

/// A time as milliseconds since 1970, whatever unit the cell has it in.
pub(crate) fn parse_timestamp(cell: &str) -> Result<i64, String> {
    let number: Option<f64> = cell.trim().parse().ok();
    let Some(number) = number.filter(|number| number.is_finite()) else {
        return Err(format!(
            "timestamp `{cell}` is not a number of seconds or milliseconds since 1970"
        ));
    };
    let ms = match number.abs() {
        size if size < LARGEST_SECONDS => number * 1_000.0,
        size if size < LARGEST_MILLISECONDS => number,
        size if size < LARGEST_MILLISECONDS * 1_000.0 => number / 1e3,
        _ => number / 1e6,
    };
    Ok(ms as i64)
}

pub(crate) fn parse_rating(cell: &str) -> Result<f64, String> {
    let number = cell.trim().parse();
    number.map_err(|_| format!("rating `{cell}` is not a number"))
}

pub(crate) fn parse_split(cell: &str) -> Result<Split, String> {
    match cell.trim().to_ascii_lowercase().as_str() {
        "train" => Ok(Split::Train),
        "valid" | "validation" | "val" | "dev" => Ok(Split::Valid),
        "test" => Ok(Split::Test),
        _ => Err(format!("split `{cell}` is none of train, valid, test")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        assert_eq!(parse_timestamp("1393545600"), Ok(1_393_545_600_000));
        assert_eq!(parse_timestamp("1393545600123"), Ok(1_393_545_600_123));
        assert_eq!(parse_timestamp("1393545600123456"), Ok(1_393_545_600_123));
        assert_eq!(
            parse_timestamp("1393545600123456789"),
            Ok(1_393_545_600_123)
        );
        assert_eq!(parse_timestamp("7"), Ok(7_000));
        assert!(parse_timestamp("yesterday").is_err());
    }
}
