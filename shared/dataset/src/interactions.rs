//! From the rows of a table to interactions: what the cells mean, and which
//! rows are taken.

use std::borrow::Cow;
use std::path::Path;

use domain::{ItemId, UserId};

use crate::builder::{Builder, FoundRow, FoundText};
use crate::columns::{Field, Roles};
use crate::dataset::{Split, TextKind};
use crate::error::Error;
use crate::import::ImportOptions;
use crate::layout::Part;
use crate::table::{Cell, Table};
use crate::values::ids::{IdRule, id, rule_for};
use crate::values::missing::is_suspicious;
use crate::values::ratings::{rating, split};
use crate::values::times::{DateOrder, Times};

/// Rows that are looked at before a table is read.
const N_SAMPLED: usize = 1_000;

/// Bytes up to which an id needs no closer look.
const SHORT_ID: usize = 256;

/// How the rows of one table are understood.
struct Reading<'a> {
    options: &'a ImportOptions,
    path: &'a Path,
    user: usize,
    item: usize,
    timestamp: Option<usize>,
    rating: Option<usize>,
    split: Option<usize>,
    text: Option<usize>,
    user_rule: IdRule,
    item_rule: IdRule,
    times: Times,
    /// The split of the whole file, where its name says it.
    of_file: Option<Split>,
}

/// What a row came to.
enum Outcome {
    Taken,
    /// A value that is needed is not there.
    Missing(&'static str),
}

/// Reads a part's interactions.
pub(crate) fn read(
    builder: &mut Builder,
    part: &Part,
    options: &ImportOptions,
) -> Result<(), Error> {
    let table = part.open(&options.columns, options.delimiter.as_deref())?;
    let (roles, mut reading) = prepare(builder, &table, options)?;
    reading.of_file = part.split;
    let n_latin_1 = table.each_row(&roles.wanted, &mut |line, row| {
        let outcome = row.and_then(|cells| reading.row(builder, cells));
        match outcome {
            Ok(Outcome::Taken) => builder.tally.n_read += 1,
            Ok(Outcome::Missing(what)) => {
                builder.tally.miss(reading.path, line, what);
            }
            Err(reason) => builder.refuse(reading.path, line, reason),
        }
        true
    })?;
    let tally = &mut builder.tally;
    tally.n_latin_1 += n_latin_1;
    tally.n_without_zone += reading.times.n_without_zone;
    tally.used_date_order |= reading.times.used_order;
    Ok(())
}

/// Reads reviews of interactions that are known already.
pub(crate) fn read_reviews(
    builder: &mut Builder,
    part: &Part,
    options: &ImportOptions,
) -> Result<(), Error> {
    let table = part.open(&options.columns, None)?;
    let sample = table.sample(N_SAMPLED)?;
    let roles = Roles::find(&table, &sample, &options.columns)?;
    let Some(text) = roles.position(Field::Text) else {
        let reason = "no text column; name it with `--text-column`";
        return Err(table.source.malformed(reason));
    };
    let place = |field| roles.position(field).unwrap_or_default();
    let (user, item) = (place(Field::User), place(Field::Item));
    table.each_row(&roles.wanted, &mut |line, row| {
        let ids = row.and_then(|cells| {
            let user = id(&cells[user], IdRule::default())?;
            let item = id(&cells[item], IdRule::default())?;
            builder.text(FoundText {
                kind: TextKind::Review,
                user: Some(&user.unwrap_or_default()),
                item: Some(&item.unwrap_or_default()),
                text: cells[text].text().unwrap_or_default(),
            });
            Ok(())
        });
        if let Err(reason) = ids {
            builder.refuse(table.shown(), line, reason);
        }
        true
    })?;
    builder.tally.columns.extend(roles.uses(&table, &sample));
    Ok(())
}

/// Finds the columns and how they are to be read, and says so.
fn prepare<'a>(
    builder: &mut Builder,
    table: &'a Table,
    options: &'a ImportOptions,
) -> Result<(Roles, Reading<'a>), Error> {
    let sample = table.sample(N_SAMPLED)?;
    let roles = Roles::find(table, &sample, &options.columns)?;
    if options.min_rating.is_some() && !roles.has(Field::Rating) {
        return Err(table.source.malformed(format!(
            "`--min-rating` has no rating column to look at among `{}`; name it with `--rating-column`",
            sample.names.join(", ")
        )));
    }
    let of = |field| {
        let name = roles.name_of(field);
        let place = sample.names.iter().position(|other| other == name);
        sample.column(place.unwrap_or_default())
    };
    let mut reading = Reading {
        options,
        path: table.shown(),
        user: roles.position(Field::User).unwrap_or_default(),
        item: roles.position(Field::Item).unwrap_or_default(),
        timestamp: roles.position(Field::Timestamp),
        rating: roles.position(Field::Rating),
        split: roles.position(Field::Split),
        text: roles.position(Field::Text),
        user_rule: IdRule::default(),
        item_rule: IdRule::default(),
        times: Times::new(options.dates),
        of_file: None,
    };
    let tally = &mut builder.tally;
    for field in [Field::User, Field::Item] {
        let (rule, warning) = rule_for(of(field));
        if let Some(warning) = warning {
            let name = roles.name_of(field);
            tally.warn(format!(
                "{}: `{name}`: {warning}",
                table.shown().display()
            ));
        }
        if field == Field::User {
            reading.user_rule = rule;
        } else {
            reading.item_rule = rule;
        }
    }
    if roles.has(Field::Timestamp) {
        reading.times.look_at(of(Field::Timestamp));
        tally.has_times = true;
    }
    tally.columns.extend(roles.uses(table, &sample));
    tally.files.push(table.shown().to_owned());
    tally.notes.extend(table.notes());
    Ok((roles, reading))
}

impl Reading<'_> {
    /// Takes a row, or says why not.
    fn row(
        &mut self,
        builder: &mut Builder,
        cells: &[Cell<'_>],
    ) -> Result<Outcome, String> {
        let user = id(&cells[self.user], self.user_rule)
            .map_err(|reason| format!("user id {reason}"))?;
        let Some(user) = self.unless_missing(user) else {
            return Ok(Outcome::Missing("user id"));
        };
        let item = id(&cells[self.item], self.item_rule)
            .map_err(|reason| format!("item id {reason}"))?;
        let Some(item) = self.unless_missing(item) else {
            return Ok(Outcome::Missing("item id"));
        };
        check_length(&user, &item)?;
        let mut at_ms = 0;
        if let Some(place) = self.timestamp {
            let Some(read) = self.times.read(&cells[place])? else {
                return Ok(Outcome::Missing("timestamp"));
            };
            at_ms = read;
            self.check_time(at_ms, &cells[place])?;
        }
        let mut of_row = self.of_file;
        if let Some(place) = self.split {
            of_row = split(&cells[place])?.or(of_row);
        }
        if !self.is_rated_well(builder, cells)? {
            return Ok(Outcome::Taken);
        }
        for (what, id) in [("user", &user), ("item", &item)] {
            if is_suspicious(id) {
                builder.tally.suspect(what, id);
            }
        }
        builder.interaction(FoundRow {
            user: &user,
            item: &item,
            at_ms,
            split: of_row,
            text: self.text.and_then(|place| cells[place].text()),
        });
        Ok(Outcome::Taken)
    }

    fn unless_missing<'c>(
        &self,
        id: Option<Cow<'c, str>>,
    ) -> Option<Cow<'c, str>> {
        let words = &self.options.missing;
        id.filter(|id| !words.iter().any(|word| word == id))
    }

    /// Refuses what has not happened yet: a scorer would refuse it, too.
    fn check_time(&self, at_ms: i64, cell: &Cell<'_>) -> Result<(), String> {
        let latest = self.options.latest_ms.unwrap_or(i64::MAX);
        if at_ms <= latest {
            return Ok(());
        }
        Err(format!("timestamp `{}` lies in the future", cell.shown()))
    }

    /// Counts what is rated too low, or not at all where it must be.
    fn is_rated_well(
        &self,
        builder: &mut Builder,
        cells: &[Cell<'_>],
    ) -> Result<bool, String> {
        let Some(place) = self.rating else {
            return Ok(true);
        };
        let tally = &mut builder.tally;
        match (rating(&cells[place])?, self.options.min_rating) {
            (None, None) => {
                tally.n_without_rating += 1;
                Ok(true)
            }
            (None, Some(_)) => {
                tally.n_unrated += 1;
                Ok(false)
            }
            (Some(rating), Some(least)) if rating < least => {
                tally.n_below_rating += 1;
                Ok(false)
            }
            (Some(_), _) => Ok(true),
        }
    }
}

fn check_length(user: &str, item: &str) -> Result<(), String> {
    if user.len() > SHORT_ID {
        UserId::new(user).map_err(|invalid| format!("user id {invalid}"))?;
    }
    if item.len() > SHORT_ID {
        ItemId::new(item).map_err(|invalid| format!("item id {invalid}"))?;
    }
    Ok(())
}

/// Refuses `--dates` where no time needed it.
pub(crate) fn check_dates(
    builder: &Builder,
    order: DateOrder,
) -> Result<(), Error> {
    if order == DateOrder::NotTold || builder.tally.used_date_order {
        return Ok(());
    }
    Err(Error::Option(
        "`--dates` has no effect: no time begins with a day or a month in numbers"
            .to_owned(),
    ))
}
