//! Ids of users and items. However a file keeps one, the same id reads the
//! same: the interactions' and the items' files need not be of one form.

use std::borrow::Cow;

use uuid::Uuid;

use crate::table::Cell;

/// How the ids of one column are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdRule {
    /// All are text such as `7.0`: numbers that became floats on the way.
    pub(crate) are_floats: bool,
}

/// Beyond this, floats have lost digits of whole numbers.
const EXACT_IN_FLOATS: f64 = 9_007_199_254_740_992.0;

/// Looks at a column's first cells: which rule holds, and what should be said
/// of it.
pub(crate) fn rule_for<'a>(
    cells: impl Iterator<Item = &'a Cell<'static>>,
) -> (IdRule, Option<String>) {
    let (mut n_whole, mut n_other) = (0, 0);
    let mut example = None;
    let mut is_inexact = false;
    for cell in cells.filter(|cell| !cell.is_missing()) {
        match cell {
            Cell::Text(text) if whole_float(text.trim()).is_some() => {
                n_whole += 1;
                example.get_or_insert_with(|| text.trim().to_owned());
            }
            Cell::Float(number) => {
                example.get_or_insert_with(|| format!("{number:?}"));
                is_inexact |= number.abs() > EXACT_IN_FLOATS;
            }
            Cell::Text(text) if is_digits(text.trim()) => {}
            Cell::Missing
            | Cell::Text(_)
            | Cell::Number(_)
            | Cell::Integer(_)
            | Cell::Flag(_)
            | Cell::Bytes(_)
            | Cell::Time(_)
            | Cell::Nested(_) => n_other += 1,
        }
    }
    let rule = IdRule {
        are_floats: n_whole > 0 && n_other == 0,
    };
    let Some(example) = example.filter(|_| rule.are_floats || n_whole == 0)
    else {
        return (rule, None);
    };
    let read = whole_float(&example).unwrap_or(&example);
    let mut warning = format!(
        "ids look like numbers that became floats (`{example}`); read as whole numbers (`{read}`)"
    );
    if is_inexact {
        warning.push_str(
            "; some are so large that floats have lost their last digits",
        );
    }
    (rule, Some(warning))
}

/// The id that a cell holds; `None` where it holds nothing.
pub(crate) fn id<'c>(
    cell: &'c Cell<'_>,
    rule: IdRule,
) -> Result<Option<Cow<'c, str>>, String> {
    let id: Cow<'c, str> = match cell {
        Cell::Missing => return Ok(None),
        Cell::Text(text) => of_text(text, rule).into(),
        Cell::Number(digits) => of_digits(digits),
        Cell::Integer(number) => number.to_string().into(),
        Cell::Float(number) if number.is_nan() => return Ok(None),
        Cell::Float(number) if number.is_infinite() => {
            return Err(format!("is {number}, which is no id"));
        }
        Cell::Float(number) => number.to_string().into(),
        Cell::Flag(flag) => flag.to_string().into(),
        Cell::Bytes(bytes) => of_bytes(bytes)?,
        Cell::Time(_) => return Err("is a time, not an id".to_owned()),
        Cell::Nested(value) => {
            let kind = if value.is_array() {
                "a list"
            } else {
                "an object"
            };
            return Err(format!("is {kind}; one id a row is needed"));
        }
    };
    Ok(Some(id).filter(|id| !id.is_empty()))
}

fn of_text(text: &str, rule: IdRule) -> &str {
    let text = text.trim();
    if !rule.are_floats {
        return text;
    }
    whole_float(text).unwrap_or(text)
}

/// The whole number that `7.0` stands for.
fn whole_float(text: &str) -> Option<&str> {
    let (whole, fraction) = text.split_once('.')?;
    let is_whole = is_digits(whole.strip_prefix('-').unwrap_or(whole));
    let is_zero = !fraction.is_empty() && fraction.bytes().all(|c| c == b'0');
    (is_whole && is_zero).then_some(whole)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// A number as it is written: `3.0` and `3e0` are 3.
fn of_digits<'c>(digits: &'c str) -> Cow<'c, str> {
    if let Some(whole) = whole_float(digits) {
        return whole.into();
    }
    if !digits.contains(['.', 'e', 'E']) {
        return digits.into();
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string().into(),
        Ok(_) | Err(_) => digits.into(),
    }
}

/// Bytes are text, or the 16 of a UUID.
fn of_bytes(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.trim().into()),
        Ok(_) | Err(_) => match Uuid::from_slice(bytes) {
            Ok(uuid) => Ok(uuid.to_string().into()),
            Err(_) => Err(format!(
                "has {} bytes that are neither UTF-8 nor a UUID",
                bytes.len()
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(cell: &Cell<'_>) -> Result<Option<String>, String> {
        let read = id(cell, IdRule::default())?;
        Ok(read.map(Cow::into_owned))
    }

    fn is(text: &str) -> Result<Option<String>, String> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn the_same_id_reads_the_same_in_every_form() {
        assert_eq!(plain(&Cell::Text(" 7 ".into())), is("7"));
        assert_eq!(plain(&Cell::Integer(7)), is("7"));
        assert_eq!(plain(&Cell::Float(7.0)), is("7"));
        assert_eq!(plain(&Cell::Number("7.0".into())), is("7"));
        assert_eq!(plain(&Cell::Number("7e0".into())), is("7"));
        assert_eq!(plain(&Cell::Bytes(b"7".into())), is("7"));
        assert_eq!(plain(&Cell::Text("0007".into())), is("0007"));
        assert_eq!(
            plain(&Cell::Number("100000000000000000000".into())),
            is("100000000000000000000")
        );
        assert_eq!(plain(&Cell::Float(1e20)), is("100000000000000000000"));
    }

    #[test]
    fn nothing_is_no_id_and_a_list_is_refused() {
        assert_eq!(plain(&Cell::Text("  ".into())), Ok(None));
        assert_eq!(plain(&Cell::Float(f64::NAN)), Ok(None));
        let list = plain(&Cell::Nested(json!(["a"])));
        assert!(list.unwrap_err().starts_with("is a list"));
    }

    #[test]
    fn sixteen_bytes_that_are_no_text_are_a_uuid() {
        let bytes: Vec<u8> = (0xf0..=0xff).collect();
        let read = plain(&Cell::Bytes(bytes.into()));
        assert_eq!(read, is("f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff"));
        assert!(plain(&Cell::Bytes(vec![0xff].into())).is_err());
    }

    #[test]
    fn text_floats_become_whole_only_where_all_are() {
        let floats = [Cell::Text("1.0".into()), Cell::Text("12.0".into())];
        let (rule, said) = rule_for(floats.iter());
        assert!(said.unwrap().contains("(`1.0`)"));
        assert_eq!(id(&floats[1], rule).unwrap().unwrap(), "12");
        let versions = [Cell::Text("1.0".into()), Cell::Text("1.1".into())];
        let (rule, said) = rule_for(versions.iter());
        assert_eq!(said, None);
        assert_eq!(id(&versions[0], rule).unwrap().unwrap(), "1.0");
    }
}
