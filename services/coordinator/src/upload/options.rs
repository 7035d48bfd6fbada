//! How an uploaded file is to be read, as its client says it: checked before
//! anything is received.

use std::path::Path;

use dataset::{Columns, DateOrder, ImportOptions, SplitRule};
use domain::{Invalid, MAX_CLOCK_SKEW_MS, Violations};
use proto::pb::import_dataset_request as message;

/// Forms that are taken: text, which is as large in memory as it is on the
/// wire. Packed and binary files are the command line's.
const ENDINGS: [&str; 5] = ["csv", "tsv", "txt", "json", "jsonl"];
/// Bytes of the longest name of a file, of a column and of the data set.
const LONGEST_NAME: usize = 200;
/// What a client says of its files.
pub(super) struct Checked {
    /// The name of the interactions' file.
    pub(super) interactions: String,
    /// The name of the items' file, where there is one.
    pub(super) items: Option<String>,
    /// All else; where the items are is not known yet.
    pub(super) options: ImportOptions,
}

impl TryFrom<message::Options> for Checked {
    type Error = Invalid;

    fn try_from(asked: message::Options) -> Result<Self, Invalid> {
        let mut wrong = Violations::default();
        let interactions = file_name("file_name", &asked.file_name);
        let interactions = wrong.take(interactions);
        let mut items = None;
        if !asked.items_file_name.is_empty() {
            let name = file_name("items_file_name", &asked.items_file_name);
            items = wrong.take(name);
        }
        let catalog = proto::catalog("catalog", &asked.catalog);
        let catalog = wrong.or_default(catalog);
        let split = wrong.take(split(asked.split));
        let columns = columns(asked.columns.unwrap_or_default());
        let columns = wrong.or_default(columns);
        if asked.display_name.len() > LONGEST_NAME
            || !is_plain(&asked.display_name)
        {
            let reason = format!(
                "must be at most {LONGEST_NAME} bytes of text in one line"
            );
            wrong.add("display_name", reason);
        }
        let dates = wrong.or_default(dates(asked.dates));
        if asked.min_rating.is_some_and(|rating| !rating.is_finite()) {
            wrong.add("min_rating", "must be a number");
        }
        if asked.k_core == Some(0) {
            wrong.add("k_core", "must be 1 or more");
        }
        let (Some(interactions), Some(split)) = (interactions, split) else {
            return Err(wrong.into_invalid());
        };
        wrong.check()?;
        let name = match asked.display_name.trim() {
            "" => interactions.clone(),
            name => name.to_owned(),
        };
        let options = ImportOptions {
            name: Some(name),
            catalog,
            split,
            columns,
            dates,
            k_core: asked.k_core.unwrap_or(1) as usize,
            min_rating: asked.min_rating,
            latest_ms: Some(storage::now_ms() + MAX_CLOCK_SKEW_MS),
            ..ImportOptions::default()
        };
        Ok(Self {
            interactions,
            items,
            options,
        })
    }
}

/// A file's own name, of a form that is taken.
fn file_name(field: &str, name: &str) -> Result<String, Invalid> {
    let is_name = Path::new(name).file_name() == Some(name.as_ref())
        && !name.contains(['/', '\\'])
        && is_plain(name);
    if !is_name || name.len() > LONGEST_NAME {
        let reason = format!(
            "must be the name of a file, at most {LONGEST_NAME} bytes, such as orders.csv"
        );
        return Err(Invalid::one(field, reason));
    }
    let ending = Path::new(name).extension().and_then(|it| it.to_str());
    let ending = ending.unwrap_or_default().to_lowercase();
    if !ENDINGS.contains(&ending.as_str()) {
        let reason = format!(
            "must end with .{}; other forms are imported by `cllm4rec dataset import`",
            ENDINGS.join(", .")
        );
        return Err(Invalid::one(field, reason));
    }
    Ok(name.to_owned())
}

/// Whether a text has no letter that is none, or that turns what follows.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|letter| {
        letter.is_control()
            || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

fn dates(asked: i32) -> Result<DateOrder, Invalid> {
    match message::Dates::try_from(asked) {
        Ok(message::Dates::Unspecified) => Ok(DateOrder::NotTold),
        Ok(message::Dates::DayFirst) => Ok(DateOrder::DayFirst),
        Ok(message::Dates::MonthFirst) => Ok(DateOrder::MonthFirst),
        Err(_) => Err(Invalid::one(
            "dates",
            format!("must be DAY_FIRST or MONTH_FIRST, is {asked}"),
        )),
    }
}

fn split(asked: i32) -> Result<SplitRule, Invalid> {
    match message::Split::try_from(asked) {
        Ok(message::Split::Unspecified | message::Split::Given) => {
            Ok(SplitRule::Given)
        }
        Ok(message::Split::Random) => Ok(SplitRule::Random { seed: 0 }),
        Ok(message::Split::LeaveLastOut) => Ok(SplitRule::LeaveLastOut),
        Err(_) => Err(Invalid::one(
            "split",
            format!("must be GIVEN, RANDOM or LEAVE_LAST_OUT, is {asked}"),
        )),
    }
}

fn columns(asked: message::Columns) -> Result<Columns, Invalid> {
    let mut wrong = Violations::default();
    let mut named = |field: &str, name: String| {
        if name.len() > LONGEST_NAME {
            let reason = format!("must be at most {LONGEST_NAME} bytes");
            wrong.add(format!("columns.{field}"), reason);
        }
        (!name.is_empty()).then_some(name)
    };
    let columns = Columns {
        user: named("user", asked.user),
        item: named("item", asked.item),
        timestamp: named("timestamp", asked.timestamp),
        rating: named("rating", asked.rating),
        split: named("split", asked.split),
        text: named("text", asked.text),
        title: named("title", asked.title),
        category: named("category", asked.category),
        all: Vec::new(),
    };
    wrong.check()?;
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: message::Options) -> String {
        match Checked::try_from(options) {
            Ok(_) => String::new(),
            Err(invalid) => invalid.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_anything_is_received() {
        let named = |file_name: &str| message::Options {
            file_name: file_name.to_owned(),
            ..Default::default()
        };
        for good in ["orders.csv", "a b.JSONL", "ü.tsv"] {
            assert_eq!(refusal(named(good)), "", "{good}");
        }
        for bad in [
            "",
            "..",
            "/etc/passwd.csv",
            "a/b.csv",
            "a\\b.csv",
            "a\n.csv",
        ] {
            let refused = refusal(named(bad));
            assert!(refused.contains("the name of a file"), "{bad}: {refused}");
        }
        for bad in ["orders", "orders.csv.gz", "orders.parquet", ".csv"] {
            let refused = refusal(named(bad));
            assert!(refused.contains("must end with"), "{bad}: {refused}");
        }
        let refused = refusal(message::Options {
            split: 9,
            min_rating: Some(f64::NAN),
            items_file_name: "items.npz".to_owned(),
            ..named("orders.csv")
        });
        for field in ["split", "min_rating", "items_file_name"] {
            assert!(refused.contains(field), "{field}: {refused}");
        }
    }
}
