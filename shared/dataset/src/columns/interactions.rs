//! The columns of interactions.

use crate::columns::names::{
    ITEMS, RATINGS, SPLITS, TEXTS, TIMES, USERS, find_all_known, find_known,
    is_other_time, may_be_item_id, may_be_time, may_be_user_id, plain_name,
    shown_name,
};
use crate::columns::{ColumnUse, Columns};
use crate::error::Error;
use crate::table::{Cell, Sample, Table};
use crate::values::ratings::{rating, split};
use crate::values::times::look_like_times;

/// What a column of interactions holds.
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

    /// What people call it, also behind `--` and before `-column`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Item => "item",
            Self::Timestamp => "timestamp",
            Self::Rating => "rating",
            Self::Split => "split",
            Self::Text => "text",
        }
    }

    /// The name that was given for this field's column.
    fn given(self, columns: &Columns) -> Option<&str> {
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
}

/// Which column holds which field.
#[derive(Debug)]
pub(crate) struct Roles {
    /// Names of the columns that are read.
    pub(crate) wanted: Vec<String>,
    /// The field that each of them holds.
    pub(crate) fields: Vec<Field>,
}

/// The columns of one table while they are given their fields.
struct Finding<'a> {
    table: &'a Table,
    sample: &'a Sample,
    /// The field of each column.
    taken: Vec<Option<Field>>,
}

impl Roles {
    /// Finds each field's column; without a user and an item column, or one
    /// that was named, the table cannot be read.
    pub(crate) fn find(
        table: &Table,
        sample: &Sample,
        columns: &Columns,
    ) -> Result<Self, Error> {
        let mut finding = Finding {
            table,
            sample,
            taken: vec![None; sample.names.len()],
        };
        for field in Field::ALL {
            if let Some(name) = field.given(columns) {
                let place = finding.named(name)?;
                finding.taken[place] = Some(field);
            }
        }
        for field in Field::ALL {
            if finding.has(field) {
                continue;
            }
            if let Some(place) = finding.guessed(field) {
                finding.taken[place] = Some(field);
            } else if matches!(field, Field::User | Field::Item) {
                return Err(finding.missing(field));
            }
        }
        finding.refuse_lists()?;
        let mut roles = Self {
            wanted: Vec::new(),
            fields: Vec::new(),
        };
        for (place, field) in finding.taken.iter().enumerate() {
            if let Some(field) = field {
                roles.wanted.push(sample.names[place].clone());
                roles.fields.push(*field);
            }
        }
        Ok(roles)
    }

    /// Whether a table has columns for users and items, by their names.
    pub(crate) fn are_in(names: &[String], columns: &Columns) -> bool {
        let has = |given: &Option<String>, known: &str| match given {
            Some(given) => position_of(names, given).is_some(),
            None => find_known(names, known).is_some(),
        };
        let may_be =
            |is_like: fn(&str) -> bool| names.iter().any(|name| is_like(name));
        (has(&columns.user, USERS) || may_be(may_be_user_id))
            && (has(&columns.item, ITEMS) || may_be(may_be_item_id))
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    /// The position of a field among the columns that are read.
    pub(crate) fn position(&self, field: Field) -> Option<usize> {
        self.fields.iter().position(|&other| other == field)
    }

    /// The name of a field's column.
    pub(crate) fn name_of(&self, field: Field) -> &str {
        self.position(field).map_or("", |place| &self.wanted[place])
    }

    /// What became of each column of the table.
    pub(crate) fn uses(
        &self,
        table: &Table,
        sample: &Sample,
    ) -> Vec<ColumnUse> {
        let mut uses = Vec::new();
        for (place, name) in sample.names.iter().enumerate() {
            let found = self.wanted.iter().position(|other| other == name);
            let field = found.map(|place| self.fields[place]);
            let hint = match field {
                None if look_like_times(cells(sample, place)) => Some(format!(
                    "looks like a time; `--timestamp-column {name}` reads it"
                )),
                None | Some(_) => None,
            };
            uses.push(ColumnUse {
                file: table.shown().display().to_string(),
                column: name.clone(),
                read_as: field.map(|field| field.name().to_owned()),
                hint,
            });
        }
        uses
    }
}

fn cells(
    sample: &Sample,
    place: usize,
) -> impl Iterator<Item = &Cell<'static>> + Clone {
    sample.rows.iter().map(move |row| &row[place])
}

/// A column by the name that people give: as it is written, or nearly.
pub(crate) fn position_of(names: &[String], given: &str) -> Option<usize> {
    let same = names.iter().position(|name| name == given);
    let same = same.or_else(|| {
        names.iter().position(|name| {
            shown_name(name) == given || name.replace("[]", "") == given
        })
    });
    same.or_else(|| {
        let given = plain_name(given);
        names.iter().position(|name| plain_name(name) == given)
    })
}

impl Finding<'_> {
    fn has(&self, field: Field) -> bool {
        self.taken.contains(&Some(field))
    }

    fn named(&self, given: &str) -> Result<usize, Error> {
        let found = position_of(&self.sample.names, given);
        found.ok_or_else(|| {
            self.table.source.malformed(format!(
                "no column `{given}` among {}",
                listed(&self.sample.names)
            ))
        })
    }

    /// The column that probably holds a field.
    fn guessed(&self, field: Field) -> Option<usize> {
        let names = &self.sample.names;
        let known = match field {
            Field::User => USERS,
            Field::Item => ITEMS,
            Field::Timestamp => TIMES,
            Field::Rating => RATINGS,
            Field::Split => SPLITS,
            Field::Text => TEXTS,
        };
        let found = find_all_known(names, known);
        let found = found.into_iter().find(|&place| {
            self.taken[place].is_none() && self.suits(field, place)
        });
        found.or_else(|| match field {
            Field::User => self.only(may_be_user_id),
            Field::Item => self.only(may_be_item_id),
            Field::Timestamp => self
                .only(may_be_time)
                .filter(|&place| look_like_times(cells(self.sample, place)))
                .or_else(|| self.only_written_time()),
            Field::Rating | Field::Split | Field::Text => None,
        })
    }

    /// Whether the first rows could hold the field; `timestamp` and `split`
    /// themselves are believed.
    fn suits(&self, field: Field, place: usize) -> bool {
        let name = plain_name(&self.sample.names[place]);
        match field {
            Field::User | Field::Item => true,
            Field::Timestamp => {
                name == "timestamp"
                    || self.is_mostly(place, |cell| {
                        look_like_times([cell].into_iter())
                            || cell.shown().trim().parse::<f64>().is_ok()
                    })
            }
            Field::Rating => self.is_mostly(place, |cell| rating(cell).is_ok()),
            Field::Split => {
                name == "split"
                    || self.is_mostly(place, |cell| split(cell).is_ok())
            }
            Field::Text => self.is_mostly(place, |cell| {
                cell.text().is_some_and(|text| text.parse::<f64>().is_err())
            }),
        }
    }

    fn is_mostly(
        &self,
        place: usize,
        is_good: impl Fn(&Cell<'static>) -> bool,
    ) -> bool {
        // The first rows are enough.
        let cells = cells(self.sample, place)
            .filter(|cell| !cell.is_missing())
            .take(50);
        let (mut n, mut n_good) = (0, 0);
        for cell in cells {
            n += 1;
            n_good += usize::from(is_good(cell));
        }
        n_good * 2 > n
    }

    /// The one column that nothing else was found in and whose name is like
    /// this.
    fn only(&self, is_like: fn(&str) -> bool) -> Option<usize> {
        let names = self.sample.names.iter().enumerate();
        let mut like = names.filter(|(place, name)| {
            self.taken[*place].is_none() && is_like(name)
        });
        let (place, _) = like.next()?;
        like.next().is_none().then_some(place)
    }

    /// The one column of times that are written, not counted: those can be
    /// nothing else.
    fn only_written_time(&self) -> Option<usize> {
        let mut found = Vec::new();
        for (place, name) in self.sample.names.iter().enumerate() {
            let is_written = |cell: &Cell<'static>| match cell.text() {
                Some(text) => text.trim().parse::<f64>().is_err(),
                None => matches!(cell, Cell::Time(_)),
            };
            let is_time = self.taken[place].is_none()
                && !is_other_time(name)
                && self.is_mostly(place, is_written)
                && look_like_times(cells(self.sample, place));
            if is_time {
                found.push(place);
            }
        }
        match found[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    fn missing(&self, field: Field) -> Error {
        let kind = field.name();
        let names = &self.sample.names;
        let mut reason = format!(
            "no {kind} column among {}; name it with `--{kind}-column`",
            listed(names)
        );
        if names.len() == 1 {
            reason.push_str(
                ". If this is more than one column, `--delimiter` says what stands between",
            );
        }
        if self.looks_like_data() {
            reason.push_str(
                ". Does the first line hold data? Then name the columns with `--columns user,item,timestamp,rating`, in their order; `_` stands for one that is not read",
            );
        }
        self.table.source.malformed(reason)
    }

    /// True where the header has a number in it, or a time.
    fn looks_like_data(&self) -> bool {
        self.sample.names.iter().any(|name| {
            let cell = Cell::Text(name.as_str().into()).into_owned();
            name.trim().parse::<f64>().is_ok()
                || look_like_times([&cell].into_iter())
        })
    }

    /// A list in the place of an id is an error of the whole file.
    fn refuse_lists(&self) -> Result<(), Error> {
        for (place, field) in self.taken.iter().enumerate() {
            let Some(Field::User | Field::Item | Field::Timestamp) = field
            else {
                continue;
            };
            let nested =
                cells(self.sample, place).find_map(|cell| match cell {
                    Cell::Nested(value) => Some(value.is_array()),
                    Cell::Missing
                    | Cell::Text(_)
                    | Cell::Number(_)
                    | Cell::Integer(_)
                    | Cell::Float(_)
                    | Cell::Flag(_)
                    | Cell::Bytes(_)
                    | Cell::Time(_) => None,
                });
            if let Some(is_list) = nested {
                let kind = if is_list { "a list" } else { "an object" };
                return Err(self.table.source.malformed(format!(
                    "`{}` is {kind} column; one interaction a row is needed, with one value in it",
                    self.sample.names[place]
                )));
            }
        }
        Ok(())
    }
}

/// Names of columns, for a message.
pub(crate) fn listed(names: &[String]) -> String {
    const N_SHOWN: usize = 40;
    let shown: Vec<&str> =
        names.iter().take(N_SHOWN).map(String::as_str).collect();
    let more = if names.len() > N_SHOWN { ", …" } else { "" };
    format!("`{}{more}`", shown.join(", "))
}
