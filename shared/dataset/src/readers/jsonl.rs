//! One JSON object a line: interactions (Amazon's reviews among them), items
//! and reviews.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use crate::builder::{Builder, FoundText, ItemFacts};
use crate::cells::Cells;
use crate::columns::{Columns, Field};
use crate::dataset::TextKind;
use crate::error::Error;
use crate::readers::file::{clean_title, open};
use crate::readers::python::json_of_python;

type Object = Map<String, Value>;

/// Reads interactions, with their texts.
pub(crate) fn interactions(
    builder: &mut Builder,
    path: &Path,
    columns: &Columns,
) -> Result<(), Error> {
    each_object(builder, path, |builder, line, object| {
        let fields = fields_of(object, columns);
        builder.interaction(path, line, &Cells::of(&fields));
        Ok(())
    })
}

/// The values of an object that mean something and are scalars.
fn fields_of(object: &Object, columns: &Columns) -> Vec<(Field, String)> {
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let mut fields = Vec::new();
    for field in Field::ALL {
        let Some(position) = field.find(columns, &names) else {
            continue;
        };
        if let Some(text) = text_of(&object[names[position]]) {
            fields.push((field, text));
        }
    }
    fields
}

/// Reads titles, categories, attributes and descriptions of items that somebody
/// interacted with.
pub(crate) fn items(builder: &mut Builder, path: &Path) -> Result<(), Error> {
    each_object(builder, path, |builder, _, object| {
        take_item(builder, object)
    })
}

fn take_item(builder: &mut Builder, object: &Object) -> Result<(), String> {
    let Some(id) = item_id(object) else {
        return Err(
            "item id is missing (`item_id`, `id`, `parent_asin` or `asin`)"
                .to_owned(),
        );
    };
    let title = object.get("title").and_then(Value::as_str);
    let facts = ItemFacts {
        title: title.map(clean_title).unwrap_or_default(),
        categories: categories(object),
        attributes: attributes(object),
    };
    builder.item(&id, facts);
    if let Some(description) = object.get("description") {
        builder.text(FoundText {
            kind: TextKind::Description,
            user: None,
            item: Some(&id),
            text: &flat_text(description),
        });
    }
    Ok(())
}

fn item_id(object: &Object) -> Option<String> {
    let keys = ["item_id", "id", "parent_asin", "asin"];
    keys.into_iter().find_map(|key| text_at(object, key))
}

/// Reads reviews of interactions that are known already.
pub(crate) fn reviews(builder: &mut Builder, path: &Path) -> Result<(), Error> {
    each_object(builder, path, |builder, _, object| {
        take_review(builder, object)
    })
}

fn take_review(builder: &mut Builder, object: &Object) -> Result<(), String> {
    let (Some(user), Some(item), Some(text)) = (
        text_at(object, "user_id"),
        text_at(object, "item_id"),
        text_at(object, "text"),
    ) else {
        return Err("`user_id`, `item_id` or `text` is missing".to_owned());
    };
    builder.text(FoundText {
        kind: TextKind::Review,
        user: Some(&user),
        item: Some(&item),
        text: &text,
    });
    Ok(())
}

/// Gives each line's object to `take`; lines that are none, or that it finds
/// wrong, are refused.
fn each_object(
    builder: &mut Builder,
    path: &Path,
    mut take: impl FnMut(&mut Builder, usize, &Object) -> Result<(), String>,
) -> Result<(), Error> {
    let mut file = open(path)?;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = file.read_until(b'\n', &mut line);
        if read.map_err(Error::file(path))? == 0 {
            break;
        }
        let taken = match object(&line) {
            Ok(Some(object)) => take(builder, number, &object),
            Ok(None) => Ok(()),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = taken {
            builder.refuse(path, number, reason);
        }
    }
    Ok(())
}

/// A line as an object; nothing for an empty line.
fn object(line: &[u8]) -> Result<Option<Object>, String> {
    let line =
        std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return Ok(None);
    }
    let parsed = serde_json::from_str(line);
    // Amazon's 2014 metadata is printed Python, not JSON.
    let parsed = parsed.or_else(|e| {
        serde_json::from_str(&json_of_python(line)).map_err(|_| e)
    });
    match parsed {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(e) => Err(format!("is not JSON ({e})")),
    }
}

/// The scalar of a key as text.
fn text_at(object: &Object, key: &str) -> Option<String> {
    text_of(object.get(key)?)
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
        Value::Array(values) => {
            values.iter().map(flat_text).collect::<Vec<_>>().join(" ")
        }
        Value::String(text) => clean_title(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            String::new()
        }
    }
}

/// `categories` or `category`: a list, a list of lists (the first path counts),
/// or text with ` > ` or `|` between.
fn categories(object: &Object) -> Vec<String> {
    let value = object.get("categories").or_else(|| object.get("category"));
    let mut parts: Vec<String> = match value {
        Some(Value::Array(values)) => match values.first() {
            Some(Value::Array(path)) => path.iter().map(flat_text).collect(),
            _ => values.iter().map(flat_text).collect(),
        },
        Some(Value::String(text)) => {
            text.split([',', '|', '>']).map(clean_title).collect()
        }
        _ => Vec::new(),
    };
    parts.retain(|part| !part.is_empty());
    parts
}

/// The `attributes` object, and the scalars that Amazon's metadata has beside
/// it.
fn attributes(object: &Object) -> Object {
    let own = object.get("attributes").and_then(Value::as_object);
    let mut attributes = own.cloned().unwrap_or_default();
    for key in ["brand", "price", "store", "year"] {
        let Some(value) = object.get(key) else {
            continue;
        };
        if text_of(value).is_some_and(|text| !text.is_empty()) {
            attributes.entry(key).or_insert_with(|| value.clone());
        }
    }
    attributes
}
