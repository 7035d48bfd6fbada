//! Files as people have them (`inputs/`), each with what must come of it
//! (`inputs/expected.json`): counts, an id or a title as it must read, a
//! refusal, a warning.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dataset::{
    Columns, Dataset, Error, ImportOptions, Report, SplitRule, import,
};
use serde::Deserialize;

/// 1990-01-01: what is earlier is no real time.
const EARLIEST_MS: i64 = 631_152_000_000;
/// 2026-11-28: what is later has not happened.
const LATEST_MS: i64 = 1_795_824_000_000;

/// One try: the file, the options, and what should come of it.
#[derive(Deserialize)]
struct Try {
    files: Vec<String>,
    args: Vec<String>,
    expect: Expected,
}

#[derive(Deserialize)]
struct Expected {
    users: Option<usize>,
    items: Option<usize>,
    interactions: Option<usize>,
    titles: Option<usize>,
    #[serde(default)]
    times: bool,
    id_like: Option<String>,
    title_like: Option<String>,
    /// Words that the refusal must have.
    refused: Option<Vec<String>>,
    /// Words that the warnings must have.
    warns: Option<Vec<String>>,
}

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs")
}

fn options(arguments: &[String]) -> ImportOptions {
    let mut options = ImportOptions {
        latest_ms: Some(LATEST_MS),
        ..ImportOptions::default()
    };
    for pair in arguments.chunks(2) {
        let value = pair[1].clone();
        match pair[0].as_str() {
            "--columns" => options.columns = all_columns(&value),
            "--item-column" => options.columns.item = Some(value),
            "--items" => options.items = Some(inputs().join(value)),
            "--min-rating" => options.min_rating = value.parse().ok(),
            "--k-core" => options.k_core = value.parse().unwrap(),
            "--split" => options.split = SplitRule::LeaveLastOut,
            other => panic!("the test does not know {other}"),
        }
    }
    options
}

fn all_columns(names: &str) -> Columns {
    let mut all = Vec::new();
    for (place, name) in names.split(',').enumerate() {
        all.push(match name {
            "_" => format!("_{place}"),
            name => name.to_owned(),
        });
    }
    Columns {
        all,
        ..Columns::default()
    }
}

/// What is wrong with what came of a try.
fn problems(
    expected: &Expected,
    found: &Result<(Dataset, Report), Error>,
) -> Vec<String> {
    let (data, report) = match (found, &expected.refused) {
        (Err(error), Some(words)) => {
            return without(&error.to_string(), words);
        }
        (Err(error), None) => return vec![format!("refused: {error}")],
        (Ok(_), Some(words)) => return vec![format!("not refused: {words:?}")],
        (Ok(found), None) => found,
    };
    let manifest = &data.manifest;
    let mut problems = Vec::new();
    for (what, expected, found) in [
        ("users", expected.users, manifest.n_users),
        ("items", expected.items, manifest.n_items),
        ("rows", expected.interactions, manifest.n_interactions),
        ("titles", expected.titles, manifest.n_titles),
    ] {
        if expected.is_some_and(|expected| expected != found) {
            problems.push(format!("{found} {what}, not {expected:?}"));
        }
    }
    let times = &data.interactions.at_ms;
    if expected.times && times.iter().any(|&ms| ms < EARLIEST_MS) {
        problems.push("times are missing".to_owned());
    }
    if let Some(id) = &expected.id_like
        && !data.items.iter().any(|item| item.id.as_str() == id)
    {
        problems.push(format!("no item has the id {id}"));
    }
    if let Some(title) = &expected.title_like
        && !data.items.iter().any(|item| item.title.contains(title))
    {
        problems.push(format!("no item has the title {title}"));
    }
    if let Some(words) = &expected.warns {
        problems.extend(without(&report.warnings.join("\n"), words));
    }
    problems
}

/// The words that a text lacks.
fn without(text: &str, words: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    for word in words {
        if !text.contains(word) {
            missing.push(format!("`{word}` is not said in: {text}"));
        }
    }
    missing
}

#[test]
fn files_as_people_have_them_come_out_as_they_must() {
    let table = std::fs::read_to_string(inputs().join("expected.json"));
    let table: BTreeMap<String, Try> =
        serde_json::from_str(&table.unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, one) in &table {
        let path = inputs().join(&one.files[0]);
        let found = import(&path, &options(&one.args));
        for problem in problems(&one.expect, &found) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
