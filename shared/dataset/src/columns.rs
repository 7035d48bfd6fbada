//! Which column of a file means what.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Names of the columns, where they are not to be guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Name of the column with the user's id.
    pub user: Option<String>,
    /// Name of the column with the item's id.
    pub item: Option<String>,
    /// Name of the column with the time: a number of seconds, or of any finer
    /// unit, since 1970.
    pub timestamp: Option<String>,
    /// Name of the column with the rating, a number.
    pub rating: Option<String>,
    /// Name of the column with the split: `train`, `valid` or `test`.
    pub split: Option<String>,
    /// Name of the column with the review's text.
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

    /// Names that are recognised, in the spelling of [`plain_name`].
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
            Self::Timestamp => {
                &["timestamp", "time", "ts", "unixreviewtime", "datetime"]
            }
            Self::Rating => &["rating", "overall", "stars", "score"],
            Self::Split => &["split"],
            Self::Text => &["text", "reviewtext", "review"],
        }
    }

    /// The name that was given for this field's column.
    fn given_name(self, columns: &Columns) -> Option<&str> {
        let name = match self {
            Self::User => &columns.user,
            Self::Item => &columns.item,
            Self::Timestamp => &columns.timestamp,
            Self::Rating => &columns.rating,
            Self::Split => &columns.split,
            Self::Text => &columns.text,
        };
        name.as_deref()
    }

    /// The position of this field's column among `names`, if there is one.
    pub(crate) fn find(
        self,
        columns: &Columns,
        names: &[&str],
    ) -> Option<usize> {
        if let Some(given) = self.given_name(columns) {
            return names.iter().position(|name| *name == given);
        }
        for known in self.known_names() {
            let found =
                names.iter().position(|name| plain_name(name) == *known);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// `User_ID`, `user id`, `userId` and RecBole's `user_id:token` are the same
/// name.
fn plain_name(name: &str) -> String {
    name.split(':')
        .next()
        .unwrap_or(name)
        .trim_start_matches('\u{feff}')
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// A column that means something, by its position in the header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) field: Field,
    pub(crate) position: usize,
}

/// The columns of a header that mean something; without a user and an item
/// column, or one that was named, the file cannot be read.
pub(crate) fn find_columns(
    path: &Path,
    columns: &Columns,
    header: &[&str],
) -> Result<Vec<Column>, Error> {
    let mut found = Vec::new();
    for field in Field::ALL {
        if let Some(position) = field.find(columns, header) {
            found.push(Column { field, position });
        } else if let Some(reason) =
            why_needed(field, columns, &header.join(", "))
        {
            return Err(Error::malformed(path, reason));
        }
    }
    Ok(found)
}

/// Why a file without this field's column cannot be read; `None` when it can.
fn why_needed(field: Field, columns: &Columns, header: &str) -> Option<String> {
    if let Some(name) = field.given_name(columns) {
        return Some(format!("no column `{name}` among `{header}`"));
    }
    let kind = match field {
        Field::User => "user",
        Field::Item => "item",
        Field::Timestamp | Field::Rating | Field::Split | Field::Text => {
            return None;
        }
    };
    Some(format!(
        "no {kind} column among `{header}`; name it with `--{kind}-column`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_usual_names_or_as_given() {
        let names = ["reviewerID", "asin", "overall", "unixReviewTime"];
        let find =
            |field: Field, columns: &Columns| field.find(columns, &names);
        assert_eq!(find(Field::User, &Columns::default()), Some(0));
        assert_eq!(find(Field::Item, &Columns::default()), Some(1));
        assert_eq!(find(Field::Split, &Columns::default()), None);
        let columns = Columns {
            item: Some("overall".to_owned()),
            ..Columns::default()
        };
        assert_eq!(find(Field::Item, &columns), Some(2));
    }
}
