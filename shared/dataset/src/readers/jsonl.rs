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
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
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
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("meta"))
}

/// Reads interactions, with their texts.
pub(crate) fn interactions(builder: &mut Builder, path: &Path, columns: &Columns) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        let found: Vec<(Field, String)> = Field::ALL
            .into_iter()
            .filter_map(|field| Some((field, names[field.find(columns, names.iter().copied())?])))
            .filter_map(|(field, name)| Some((field, text_of(&object[name])?)))
            .collect();
        let mut cells = Cells::default();
        found.iter().for_each(|(field, cell)| cells.set(*field, cell));
        builder.interaction(path, line, &cells);
    })
}

/// Reads titles, categories, attributes and descriptions of items that somebody interacted with.
pub(crate) fn items(builder: &mut Builder, path: &Path) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let id = ["item_id", "id", "parent_asin", "asin"].into_iter().find_map(|key| text_of(object.get(key)?));
        let Some(id) = id else {
            builder.refuse(path, line, "item id is missing (`item_id`, `id`, `parent_asin` or `asin`)".to_owned());
            return;
        };
        let title = object.get("title").and_then(Value::as_str).map(clean_title).unwrap_or_default();
        builder.item(&id, ItemFacts { title, categories: categories(object), attributes: attributes(object) });
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
            _ => builder.refuse(path, line, "`user_id`, `item_id` or `text` is missing".to_owned()),
        }
    })
}

fn each_object(
    builder: &mut Builder,
    path: &Path,
    mut take: impl FnMut(&mut Builder, usize, &Object),
) -> Result<(), Error> {
    for (number, line) in open(path)?.lines().enumerate() {
        let line = line.map_err(Error::file(path))?;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(&line) {
            Ok(Value::Object(object)) => take(builder, number + 1, &object),
            Ok(_) => {
                builder.n_read += 1;
                builder.refuse(path, number + 1, "is not a JSON object".to_owned());
            }
            Err(e) => {
                builder.n_read += 1;
                builder.refuse(path, number + 1, format!("is not JSON ({e})"));
            }
        }
    }
    Ok(())
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

/// `categories` or `category`: a list, a list of lists (the first path counts), or text with ` > ` or `|` between.
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
    parts.into_iter().filter(|part: &String| !part.is_empty()).collect()
}

/// The `attributes` object, and the scalars that Amazon's metadata has beside it.
fn attributes(object: &Object) -> Object {
    let mut attributes = object.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
    for key in ["brand", "price", "store", "year"] {
        if let Some(value) = object.get(key).filter(|value| text_of(value).is_some_and(|text| !text.is_empty())) {
            attributes.entry(key).or_insert_with(|| value.clone());
        }
    }
    attributes
}
