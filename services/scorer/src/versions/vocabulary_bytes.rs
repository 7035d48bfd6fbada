//! What users, items and their texts take in memory, beside their rows:
//! estimates, in bytes.

use domain::{Item, UserId};
use serde_json::Value;

pub(super) fn of_users(users: &[UserId]) -> usize {
    let ids: usize = users.iter().map(|user| user.as_str().len()).sum();
    64 * users.len() + ids
}

/// Memory of the items, about: ids, texts, places, popularity, lengths, what
/// filters look at.
pub(super) fn of_items(items: &[Item]) -> usize {
    items.iter().map(of_item).sum()
}

fn of_item(item: &Item) -> usize {
    let categories: usize = item
        .categories
        .iter()
        .map(|category| 24 + category.len())
        .sum();
    // Each is a node of a tree with a key and a value.
    let attributes: usize = item
        .attributes
        .iter()
        .map(|(name, value)| 64 + name.len() + of_value(value))
        .sum();
    170 + 2 * item.id.as_str().len()
        + item.title.len()
        + categories
        + attributes
}

fn of_value(value: &Value) -> usize {
    let parts = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(of_value).sum(),
        Value::Object(fields) => return of_fields(fields),
    };
    32 + parts
}

fn of_fields(fields: &serde_json::Map<String, Value>) -> usize {
    fields
        .iter()
        .map(|(name, value)| 64 + name.len() + of_value(value))
        .sum()
}
