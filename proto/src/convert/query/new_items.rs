//! Items that came after training, and texts, as requests hold them.

use std::collections::HashSet;

use domain::{Invalid, Item, ItemId, NewItem, Violations};

use crate::convert::attributes::fields;
use crate::pb;

/// Most new items of a request: each takes a millisecond or more.
const MAX_NEW_ITEMS: usize = 100;
/// Longest description, or text that items are compared with, in bytes.
const MAX_TEXT: usize = 8_192;
/// Longest title or category, in bytes.
const MAX_TITLE: usize = 1_024;
/// Most categories of an item.
const MAX_CATEGORIES: usize = 100;
/// Most that the attributes of an item may be, in bytes.
const MAX_ATTRIBUTES: usize = 16_384;

pub(super) fn new_items(
    items: Vec<pb::NewItem>,
) -> Result<Vec<NewItem>, Invalid> {
    if items.len() > MAX_NEW_ITEMS {
        let n = items.len();
        let reason = format!("must hold at most {MAX_NEW_ITEMS}, holds {n}");
        return Err(Invalid::one("new_items", reason));
    }

    let mut wrong = Violations::default();
    let mut ids = HashSet::new();
    let mut checked = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        let field = format!("new_items[{number}]");
        let item = new_item(item).map_err(|invalid| invalid.under(&field));
        let Some(item) = wrong.take(item) else {
            continue;
        };
        if !ids.insert(item.item.id.clone()) {
            let reason = format!("`{}` is given twice", item.item.id);
            wrong.add(format!("{field}.item_id"), reason);
        }

        checked.push(item);
    }

    wrong.check()?;
    Ok(checked)
}

fn new_item(item: pb::NewItem) -> Result<NewItem, Invalid> {
    let mut wrong = Violations::default();
    let id = ItemId::new(item.item_id).map_err(|e| e.under("item_id"));
    let id = wrong.take(id);
    let title = wrong.or_default(at_most("title", item.title, MAX_TITLE));
    if item.categories.len() > MAX_CATEGORIES {
        let n = item.categories.len();
        let reason = format!("must hold at most {MAX_CATEGORIES}, holds {n}");
        wrong.add("categories", reason);
    }

    let mut categories = Vec::with_capacity(item.categories.len());
    for category in item.categories {
        categories.extend(wrong.take(at_most(
            "categories",
            category,
            MAX_TITLE,
        )));
    }

    let attributes = item.attributes.unwrap_or_default();
    let n_bytes = prost::Message::encoded_len(&attributes);
    if n_bytes > MAX_ATTRIBUTES {
        let reason =
            format!("must be at most {MAX_ATTRIBUTES} bytes, has {n_bytes}");
        wrong.add("attributes", reason);
    }

    let description = wrong.or_default(text("description", item.description));
    let Some(id) = id else {
        return Err(wrong.into_invalid());
    };

    wrong.check()?;
    Ok(NewItem {
        item: Item {
            id,
            title,
            categories,
            attributes: fields(attributes),
        },
        description,
    })
}

/// Refuses a text that is too long.
pub(super) fn text(field: &str, text: String) -> Result<String, Invalid> {
    at_most(field, text, MAX_TEXT)
}

pub(super) fn at_most(
    field: &str,
    text: String,
    most: usize,
) -> Result<String, Invalid> {
    if text.len() > most {
        let n = text.len();
        let reason = format!("must be at most {most} bytes, has {n}");
        return Err(Invalid::one(field, reason));
    }

    Ok(text)
}
