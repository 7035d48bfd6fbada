//! Which column means what, and what a cell says.

use serde::{Deserialize, Serialize};

use crate::Split;

/// Names of the columns, where they are not to be guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The user's id.
    pub user: Option<String>,
    /// The item's id.
    pub item: Option<String>,
    /// Seconds or milliseconds since 1970.
    pub timestamp: Option<String>,
    /// A number.
    pub rating: Option<String>,
    /// `train`, `valid` or `test`.
    pub split: Option<String>,
    /// A review.
    pub text: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    User,
    Item,
    Timestamp,
    Rating,
    Split,
    Text,
}

impl Field {
    pub(crate) const ALL: [Self; 6] = [
        Self::User,
        Self::Item,
        Self::Timestamp,
        Self::Rating,
        Self::Split,
        Self::Text,
    ];

    /// Names that are recognised, in the spelling of [`normal`].
    fn known_names(self) -> &'static [&'static str] {
        match self {
            Self::User => &[
                "userid",
                "user",
                "uid",
                "reviewerid",
                "customerid",
                "visitorid",
            ],
            Self::Item => &[
                "itemid",
                "item",
                "iid",
                "parentasin",
                "asin",
                "movieid",
                "productid",
                "sku",
            ],
            Self::Timestamp => &["timestamp", "time", "ts", "unixreviewtime", "datetime"],
            Self::Rating => &["rating", "overall", "stars", "score"],
            Self::Split => &["split"],
            Self::Text => &["text", "reviewtext", "review"],
        }
    }

    /// The name that was given for this field's column.
    pub(crate) fn given(self, columns: &Columns) -> Option<&String> {
        match self {
            Self::User => &columns.user,
            Self::Item => &columns.item,
            Self::Timestamp => &columns.timestamp,
            Self::Rating => &columns.rating,
            Self::Split => &columns.split,
            Self::Text => &columns.text,
        }
        .as_ref()
    }

    /// The column for this field among `names`, if there is one.
    pub(crate) fn find<'a>(
        self,
        columns: &Columns,
        mut names: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<usize> {
        if let Some(given) = self.given(columns) {
            return names.position(|name| name == given);
        }
        self.known_names()
            .iter()
            .find_map(|known| names.clone().position(|name| normal(name) == *known))
    }
}

/// `User_ID`, `user id`, `userId` and RecBole's `user_id:token` are the same name.
fn normal(name: &str) -> String {
    name.split(':')
        .next()
        .unwrap_or(name)
        .trim_start_matches('\u{feff}')
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

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
    pub(crate) fn set(&mut self, field: Field, cell: &'a str) {
        let place = match field {
            Field::User => &mut self.user,
            Field::Item => &mut self.item,
            Field::Timestamp => &mut self.timestamp,
            Field::Rating => &mut self.rating,
            Field::Split => &mut self.split,
            Field::Text => &mut self.text,
        };
        *place = Some(cell);
    }
}

/// Times beyond this many seconds (the year 5138) are milliseconds.
const LARGEST_SECONDS: f64 = 1e11;

/// Beyond this (the year 5138 in milliseconds) they are microseconds, and beyond a thousand times
/// that nanoseconds.
const LARGEST_MILLISECONDS: f64 = 1e14;

/// Milliseconds since 1970.
pub(crate) fn parse_timestamp(cell: &str) -> Result<i64, String> {
    let number: f64 = cell
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| {
            format!("timestamp `{cell}` is not a number of seconds or milliseconds since 1970")
        })?;
    let ms = match number.abs() {
        size if size < LARGEST_SECONDS => number * 1_000.0,
        size if size < LARGEST_MILLISECONDS => number,
        size if size < LARGEST_MILLISECONDS * 1_000.0 => number / 1e3,
        _ => number / 1e6,
    };
    Ok(ms as i64)
}

pub(crate) fn parse_rating(cell: &str) -> Result<f64, String> {
    cell.trim()
        .parse()
        .map_err(|_| format!("rating `{cell}` is not a number"))
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
    fn columns_are_found_by_their_usual_names_or_as_given() {
        let names = ["reviewerID", "asin", "overall", "unixReviewTime"];
        let find = |field: Field, columns: &Columns| field.find(columns, names.iter().copied());
        assert_eq!(find(Field::User, &Columns::default()), Some(0));
        assert_eq!(find(Field::Item, &Columns::default()), Some(1));
        assert_eq!(find(Field::Split, &Columns::default()), None);
        let columns = Columns {
            item: Some("overall".to_owned()),
            ..Columns::default()
        };
        assert_eq!(find(Field::Item, &columns), Some(2));
    }

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
