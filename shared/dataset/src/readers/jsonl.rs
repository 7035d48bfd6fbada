//! One JSON object a line: interactions (Amazon's reviews among them), items and reviews.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;
use crate::builder::{Builder, ItemFacts};
use crate::dataset::TextKind;
use crate::fields::{Cells, Columns, Field};
use crate::readers::{clean_title, open};

type Object = Map<String, Value>;

/// The JSON files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if name.ends_with(".json") || name.ends_with(".jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Amazon's metadata files start with `meta`.
pub(crate) fn is_metadata(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("meta"))
}

/// Reads interactions, with their texts.
pub(crate) fn interactions(
    builder: &mut Builder,
    path: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        let found: Vec<(Field, String)> = Field::ALL
            .into_iter()
            .filter_map(|field| Some((field, names[field.find(columns, names.iter().copied())?])))
            .filter_map(|(field, name)| Some((field, text_of(&object[name])?)))
            .collect();
        let mut cells = Cells::default();
        found
            .iter()
            .for_each(|(field, cell)| cells.set(*field, cell));
        builder.interaction(path, line, &cells);
    })
}

/// Reads titles, categories, attributes and descriptions of items that somebody interacted with.
pub(crate) fn items(builder: &mut Builder, path: &Path) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let id = ["item_id", "id", "parent_asin", "asin"]
            .into_iter()
            .find_map(|key| text_of(object.get(key)?));
        let Some(id) = id else {
            let reason = "item id is missing (`item_id`, `id`, `parent_asin` or `asin`)";
            return refuse(builder, path, line, reason.to_owned());
        };
        let title = object
            .get("title")
            .and_then(Value::as_str)
            .map(clean_title)
            .unwrap_or_default();
        builder.item(
            &id,
            ItemFacts {
                title,
                categories: categories(object),
                attributes: attributes(object),
            },
        );
        if let Some(description) = object.get("description").map(flat_text) {
            builder.text(TextKind::Description, None, Some(&id), &description);
        }
    })
}

/// Reads reviews of interactions that are known already.
pub(crate) fn reviews(builder: &mut Builder, path: &Path) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let text = |key: &str| object.get(key).and_then(text_of);
        match (text("user_id"), text("item_id"), text("text")) {
            (Some(user), Some(item), Some(review)) => {
                builder.text(TextKind::Review, Some(&user), Some(&item), &review);
            }
            _ => refuse(
                builder,
                path,
                line,
                "`user_id`, `item_id` or `text` is missing".to_owned(),
            ),
        }
    })
}

fn each_object(
    builder: &mut Builder,
    path: &Path,
    mut take: impl FnMut(&mut Builder, usize, &Object),
) -> Result<(), Error> {
    let mut file = open(path)?;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file
            .read_until(b'\n', &mut line)
            .map_err(Error::file(path))?
            == 0
        {
            break;
        }
        match object(&line) {
            Ok(Some(object)) => take(builder, number, &object),
            Ok(None) => {}
            Err(reason) => refuse(builder, path, number, reason),
        }
    }
    Ok(())
}

/// A line as an object; nothing for an empty line.
fn object(line: &[u8]) -> Result<Option<Object>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return Ok(None);
    }
    let parsed = serde_json::from_str::<Value>(line).or_else(|e| {
        // Amazon's 2014 metadata is printed Python, not JSON.
        serde_json::from_str(&json_of_python(line)).map_err(|_| e)
    });
    match parsed {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(e) => Err(format!("is not JSON ({e})")),
    }
}

/// A refused line of a file that brings no interactions.
fn refuse(builder: &mut Builder, path: &Path, number: usize, reason: String) {
    builder.n_read += 1;
    builder.refuse(path, number, reason);
}

/// A printed Python dictionary as JSON: strings in double quotes, `True`, `False` and `None` by
/// their other names.
fn json_of_python(line: &str) -> String {
    let mut json = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(['\'', '"']) {
        json.push_str(&constants(&rest[..start]));
        let quote = rest[start..].chars().next().unwrap_or('"');
        let (text, after) = python_string(&rest[start + 1..], quote);
        json.push_str(&Value::String(text).to_string());
        rest = after;
    }
    json.push_str(&constants(rest));
    json
}

fn constants(code: &str) -> String {
    code.replace("True", "true")
        .replace("False", "false")
        .replace("None", "null")
}

/// The text up to the closing quote, escapes resolved, and what follows.
fn python_string(code: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut chars = code.char_indices();
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return (text, &code[place + 1..]);
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next().map(|(_, escaped)| escaped) {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(kind @ ('x' | 'u')) => {
                let n_digits = if kind == 'x' { 2 } else { 4 };
                let digits: String = chars
                    .by_ref()
                    .take(n_digits)
                    .map(|(_, digit)| digit)
                    .collect();
                text.extend(
                    u32::from_str_radix(&digits, 16)
                        .ok()
                        .and_then(char::from_u32),
                );
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    (text, "")
}

/// A scalar as text; `None` for null and for anything nested.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// All text in a value, in order.
fn flat_text(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(flat_text).collect::<Vec<_>>().join(" "),
        Value::String(text) => clean_title(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// `categories` or `category`: a list, a list of lists (the first path counts), or text with ` > `
/// or `|` between.
fn categories(object: &Object) -> Vec<String> {
    let value = object.get("categories").or_else(|| object.get("category"));
    let parts = match value {
        Some(Value::Array(values)) => match values.first() {
            Some(Value::Array(path)) => path.iter().map(flat_text).collect(),
            _ => values.iter().map(flat_text).collect(),
        },
        Some(Value::String(text)) => text.split([',', '|', '>']).map(clean_title).collect(),
        _ => Vec::new(),
    };
    parts
        .into_iter()
        .filter(|part: &String| !part.is_empty())
        .collect()
}

/// The `attributes` object, and the scalars that Amazon's metadata has beside it.
fn attributes(object: &Object) -> Object {
    let mut attributes = object
        .get("attributes")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for key in ["brand", "price", "store", "year"] {
        if let Some(value) = object
            .get(key)
            .filter(|value| text_of(value).is_some_and(|text| !text.is_empty()))
        {
            attributes.entry(key).or_insert_with(|| value.clone());
        }
    }
    attributes
}
