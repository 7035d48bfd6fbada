//! Ratings and splits.

use crate::dataset::Split;
use crate::table::Cell;
use crate::values::missing::says_nothing;

/// The rating that a cell holds; `None` where it holds nothing.
pub(crate) fn rating(cell: &Cell<'_>) -> Result<Option<f64>, String> {
    let number = match cell {
        Cell::Missing => return Ok(None),
        Cell::Text(text) | Cell::Number(text) => {
            if says_nothing(text) {
                return Ok(None);
            }
            number(text.trim()).ok_or_else(|| {
                format!("rating `{}` is not a number", text.trim())
            })?
        }
        Cell::Integer(number) => *number as f64,
        Cell::Float(number) => *number,
        Cell::Flag(flag) => f64::from(u8::from(*flag)),
        Cell::Bytes(_) | Cell::Time(_) | Cell::Nested(_) => {
            return Err("rating is not a number".to_owned());
        }
    };
    Ok(Some(number).filter(|number| !number.is_nan()))
}

/// A number, with a point or with a comma before its fraction.
pub(crate) fn number(text: &str) -> Option<f64> {
    let number = text.parse().ok();
    let number = number.or_else(|| text.replacen(',', ".", 1).parse().ok());
    number.filter(|number: &f64| number.is_finite())
}

/// The split that a cell names; `None` where it names none.
pub(crate) fn split(cell: &Cell<'_>) -> Result<Option<Split>, String> {
    let shown = cell.shown();
    let name = shown.trim();
    if says_nothing(name) {
        return Ok(None);
    }
    match split_named(name) {
        Some(split) => Ok(Some(split)),
        None => Err(format!("split `{name}` is none of train, valid, test")),
    }
}

/// The split that a word stands for.
pub(crate) fn split_named(word: &str) -> Option<Split> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "validation" | "validate" | "val" | "dev" => {
            Some(Split::Valid)
        }
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_rating_is_none_and_a_word_is_refused() {
        for nothing in ["", "NaN", "NULL", "\\N", "n/a"] {
            assert_eq!(rating(&Cell::Text(nothing.into())), Ok(None));
        }
        assert_eq!(rating(&Cell::Float(f64::NAN)), Ok(None));
        assert_eq!(rating(&Cell::Text("4,5".into())), Ok(Some(4.5)));
        assert!(rating(&Cell::Text("good".into())).is_err());
    }
}
