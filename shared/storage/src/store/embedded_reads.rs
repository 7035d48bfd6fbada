//! Reads of the embedded store that look at several keys.

use redb::{ReadOnlyTable, StorageError};

use crate::store::range::{Order, Range};

/// The embedded store's one table: values by space and key.
pub(crate) type Entries =
    ReadOnlyTable<(&'static str, &'static str), &'static [u8]>;

/// Reads several keys of a space, in the order of `keys`.
pub(crate) fn get_many(
    entries: &Entries,
    space: &str,
    keys: &[String],
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let value = entries.get((space, key.as_str()))?;
        values.push(value.map(|value| value.value().to_vec()));
    }

    Ok(values)
}

/// Reads a stretch of an index's keys.
pub(crate) fn range(
    entries: &Entries,
    index: &str,
    range: &Range,
) -> Result<Vec<String>, StorageError> {
    // No key has the index's name with this behind it.
    let end = format!("{index}\0");
    let after = range.after.as_deref();
    let mut keys = Vec::new();
    match range.order {
        Order::Ascending => {
            let first = (index, after.unwrap_or_default());
            for entry in entries.range(first..(end.as_str(), ""))? {
                if keys.len() == range.most {
                    break;
                }

                push(&mut keys, &entry?.0, after);
            }
        }
        Order::Descending => {
            let last = match after {
                Some(after) => (index, after),
                None => (end.as_str(), ""),
            };
            for entry in entries.range((index, "")..last)?.rev() {
                if keys.len() == range.most {
                    break;
                }

                push(&mut keys, &entry?.0, after);
            }
        }
    }

    Ok(keys)
}

/// Adds a key to those that were read, unless it is the one that the stretch
/// follows.
fn push(
    keys: &mut Vec<String>,
    found: &redb::AccessGuard<'_, (&'static str, &'static str)>,
    after: Option<&str>,
) {
    let (_, key) = found.value();
    if Some(key) != after {
        keys.push(key.to_owned());
    }
}
