//! The columns of items.

use crate::builder::Builder;
use crate::columns::interactions::{listed, position_of};
use crate::columns::names::{
    CATEGORIES, DESCRIPTIONS, ITEMS, OWN_IDS, SURE_USERS, TITLES,
    find_all_known, find_known, plain_name, shown_name,
};
use crate::columns::{ColumnUse, Columns};
use crate::error::Error;
use crate::table::{Cell, Sample, Table};
use crate::values::ids::{id, rule_for};

/// Which column of an items' file holds what; positions among its names.
#[derive(Debug, Default)]
pub(crate) struct ItemRoles {
    pub(crate) id: usize,
    pub(crate) title: Option<usize>,
    /// Several where each level has a column of its own.
    pub(crate) categories: Vec<usize>,
    pub(crate) description: Option<usize>,
    /// What else is known of an item.
    pub(crate) attributes: Vec<usize>,
}

/// Whether a header is that of an items' file: an item's id and more, and no
/// user.
pub(crate) fn is_items_header(names: &[String]) -> bool {
    let has = |known| find_known(names, known).is_some();
    let has_id = has(ITEMS) || has(OWN_IDS);
    has_id && !has(SURE_USERS) && (has(TITLES) || has(CATEGORIES))
}

/// What decides which column is which.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Names that people gave.
    pub(crate) columns: &'a Columns,
    /// The interactions, whose items' ids are to be found again.
    pub(crate) builder: &'a Builder,
}

impl ItemRoles {
    /// Finds the columns; ids that the interactions have decide which column
    /// is the id where its name does not.
    pub(crate) fn find(
        table: &Table,
        sample: &Sample,
        known: Known<'_>,
    ) -> Result<Self, Error> {
        let Known { columns, builder } = known;
        let names = &sample.names;
        let id = id_column(sample, columns, builder).ok_or_else(|| {
            table.source.malformed(format!(
                "no column with the items' ids among {}; `--item-column` names it",
                listed(names)
            ))
        })?;
        let mut roles = Self {
            id,
            ..Self::default()
        };
        let title = given_column(table, names, columns.title.as_deref())?;
        let categories =
            given_column(table, names, columns.category.as_deref())?;
        // A column that was named is nothing else.
        roles.categories.extend(categories);
        roles.title = title.or_else(|| roles.free(names, TITLES));
        if categories.is_none() {
            roles.categories = roles.category_columns(names);
        }
        roles.description = roles.free(names, DESCRIPTIONS);
        for (place, name) in names.iter().enumerate() {
            if roles.is_free(place) && is_attribute(sample, place, name) {
                roles.attributes.push(place);
            }
        }
        Ok(roles)
    }

    fn is_free(&self, place: usize) -> bool {
        self.id != place
            && self.title != Some(place)
            && self.description != Some(place)
            && !self.categories.contains(&place)
            && !self.attributes.contains(&place)
    }

    fn free(&self, names: &[String], known: &str) -> Option<usize> {
        let found = find_all_known(names, known);
        found.into_iter().find(|&place| self.is_free(place))
    }

    /// One column of categories, or one for each level: `category_l1` …
    fn category_columns(&self, names: &[String]) -> Vec<usize> {
        let mut levels: Vec<(String, usize)> = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let plain = plain_name(name);
            let level = plain.trim_start_matches("category");
            let level = level.trim_start_matches(['l', 'e', 'v']);
            let is_level = plain.starts_with("category")
                && level.len() == 1
                && level.bytes().all(|c| c.is_ascii_digit());
            if is_level && self.is_free(place) {
                levels.push((level.to_owned(), place));
            }
        }
        levels.sort();
        if levels.len() >= 2 {
            return levels.into_iter().map(|(_, place)| place).collect();
        }
        self.free(names, CATEGORIES).into_iter().collect()
    }

    /// What became of each column.
    pub(crate) fn uses(
        &self,
        table: &Table,
        sample: &Sample,
    ) -> Vec<ColumnUse> {
        let mut uses = Vec::new();
        for (place, name) in sample.names.iter().enumerate() {
            let read_as = if place == self.id {
                Some("item")
            } else if self.title == Some(place) {
                Some("title")
            } else if self.categories.contains(&place) {
                Some("categories")
            } else if self.description == Some(place) {
                Some("description")
            } else if self.attributes.contains(&place) {
                Some("attribute")
            } else {
                None
            };
            uses.push(ColumnUse {
                file: table.shown().display().to_string(),
                column: name.clone(),
                read_as: read_as.map(str::to_owned),
                hint: None,
            });
        }
        uses
    }
}

/// The column that somebody named, where they named one.
fn given_column(
    table: &Table,
    names: &[String],
    given: Option<&str>,
) -> Result<Option<usize>, Error> {
    let Some(given) = given else {
        return Ok(None);
    };
    let found = position_of(names, given);
    let place = found.ok_or_else(|| {
        let listed = listed(names);
        table
            .source
            .malformed(format!("no column `{given}` among {listed}"))
    })?;
    Ok(Some(place))
}

/// The column of the items' ids: by the name that was given, by a usual one,
/// or the one whose values the interactions know best.
fn id_column(
    sample: &Sample,
    columns: &Columns,
    builder: &Builder,
) -> Option<usize> {
    let names = &sample.names;
    let given = columns.item.as_deref();
    if let Some(place) = given.and_then(|name| position_of(names, name)) {
        return Some(place);
    }
    let mut usual = find_all_known(names, ITEMS);
    usual.extend(find_all_known(names, OWN_IDS));
    let first = usual.first().copied();
    if first.is_some_and(|place| n_known(sample, place, builder) > 0) {
        return first;
    }
    let mut best = (0, None);
    for place in 0..names.len() {
        let n = n_known(sample, place, builder);
        if n > best.0 {
            best = (n, Some(place));
        }
    }
    best.1.or(first)
}

/// How many of a column's first cells are ids of items that somebody took.
fn n_known(sample: &Sample, place: usize, builder: &Builder) -> usize {
    let (rule, _) = rule_for(sample.column(place));
    let mut n = 0;
    for cell in sample.column(place) {
        if let Ok(Some(id)) = id(cell, rule) {
            n += usize::from(builder.items.known(&id).is_some());
        }
    }
    n
}

/// Bytes of a text that describes rather than counts as an attribute.
const LONGEST_ATTRIBUTE: usize = 200;

/// Values of a list that is an attribute, not a list of other items.
const LONGEST_LIST: usize = 16;

/// Whether a column can be filtered by: single values or short lists of them,
/// neither addresses nor long texts.
fn is_attribute(sample: &Sample, place: usize, name: &str) -> bool {
    if shown_name(name).starts_with("attributes.") {
        return true;
    }
    if name.contains("[]") {
        return false;
    }
    let (mut n, mut n_good) = (0, 0);
    for cell in sample.column(place).filter(|cell| !cell.is_missing()) {
        n += 1;
        n_good += usize::from(match cell {
            Cell::Text(text) => {
                text.len() <= LONGEST_ATTRIBUTE && !text.contains("://")
            }
            Cell::Nested(value) => value.as_array().is_some_and(|list| {
                list.len() <= LONGEST_LIST
                    && list.iter().all(|one| {
                        !one.is_array()
                            && !one.is_object()
                            && !one.as_str().is_some_and(is_address)
                    })
            }),
            Cell::Missing | Cell::Bytes(_) => false,
            Cell::Number(_)
            | Cell::Integer(_)
            | Cell::Float(_)
            | Cell::Flag(_)
            | Cell::Time(_) => true,
        });
    }
    n > 0 && n_good * 10 >= n * 9
}

fn is_address(text: &str) -> bool {
    text.contains("://")
}
