//! Which column of a file means what: by the names that people gave, by usual
//! names, and by what stands in the columns.

/// The columns of interactions.
mod interactions;
/// The columns of items.
mod items;
/// What a column can hold, and what such columns are called.
mod names;

use serde::{Deserialize, Serialize};

pub(crate) use interactions::{Field, Roles};
pub(crate) use items::{ItemRoles, Known, is_items_header};
pub(crate) use names::{knows, plain_name, shown_name};

/// Names of the columns, where they are not to be guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Name of the column with the user's id.
    pub user: Option<String>,
    /// Name of the column with the item's id.
    pub item: Option<String>,
    /// Name of the column with the time.
    pub timestamp: Option<String>,
    /// Name of the column with the rating, a number.
    pub rating: Option<String>,
    /// Name of the column with the split: `train`, `valid` or `test`.
    pub split: Option<String>,
    /// Name of the column with the review's text.
    pub text: Option<String>,
    /// Name of the column with the item's title, in a file of items.
    pub title: Option<String>,
    /// Name of the column with the item's categories, in a file of items.
    pub category: Option<String>,
    /// Names of all columns of a file without a header, in their order.
    pub all: Vec<String>,
}

impl Columns {
    /// The names that were given, of any column.
    pub(crate) fn given(&self) -> Vec<String> {
        let given = [
            &self.user,
            &self.item,
            &self.timestamp,
            &self.rating,
            &self.split,
            &self.text,
            &self.title,
            &self.category,
        ];
        given.into_iter().flatten().cloned().collect()
    }
}

/// What a column of a file was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnUse {
    /// The file.
    pub file: String,
    /// The column's name there.
    pub column: String,
    /// What it was read as: `user`, `item`, `timestamp` …; absent when it was
    /// ignored.
    #[serde(rename = "as")]
    pub read_as: Option<String>,
    /// What an ignored column looks like, and how to have it read.
    pub hint: Option<String>,
}
