//! What is wrong with an input, field by field; becomes `google.rpc.BadRequest`
//! on the wire.

use std::fmt;
use std::ops::RangeInclusive;

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field as the client wrote it, such as
    /// `spec.finetuning.batch`.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Violation {
    /// Says what is wrong with `field`. What quotes a long input is cut off.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: shortened(field.into(), LONGEST),
            reason: shortened(reason.into(), LONGEST),
        }
    }
}

/// Bytes of what is said of a field, about.
const LONGEST: usize = 1_000;

/// Cuts a text off after so many bytes, about.
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// Everything that is wrong with one input; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// Describes an input with one bad field.
    pub fn one(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self(vec![Violation::new(field, reason)])
    }

    /// Refuses an input with violations; `Ok` when there are none.
    pub fn check(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() {
            Ok(())
        } else {
            Err(Self(violations))
        }
    }

    /// Puts `parent.` in front of every field: the violations as seen from one
    /// level further out.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        for violation in &mut self.0 {
            violation.field = if violation.field.is_empty() {
                parent.to_owned()
            } else {
                format!("{parent}.{}", violation.field)
            };
        }

        self
    }
}

/// Most violations of one input that are told: they travel in the headers of an
/// answer.
const MOST_TOLD: usize = 20;

/// Collects what is wrong with an input while its fields are read one by one,
/// so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Violations {
    told: Vec<Violation>,
    n_more: usize,
}

impl Violations {
    /// Notes one field that cannot be accepted.
    pub fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.note(Invalid::one(field, reason));
    }

    /// Notes everything that is wrong with a part of the input.
    pub fn note(&mut self, invalid: Invalid) {
        for violation in invalid.0 {
            if self.told.len() < MOST_TOLD {
                self.told.push(violation);
            } else {
                self.n_more += 1;
            }
        }
    }

    /// Gives what was read, or notes why it could not be.
    pub fn take<T>(&mut self, read: Result<T, Invalid>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.note(invalid);
                None
            }
        }
    }

    /// Gives what was read, or notes why it could not be; a default then stands
    /// in its place until [`Violations::check`] refuses the whole.
    pub fn or_default<T: Default>(&mut self, read: Result<T, Invalid>) -> T {
        self.take(read).unwrap_or_default()
    }

    /// Refuses the input where anything was noted.
    pub fn check(self) -> Result<(), Invalid> {
        Invalid::check(self.all())
    }

    /// What was noted, where something was: the reason why a value is missing.
    pub fn into_invalid(self) -> Invalid {
        Invalid(self.all())
    }

    fn all(self) -> Vec<Violation> {
        let mut all = self.told;
        if self.n_more > 0 {
            let reason = format!("and {} more", self.n_more);
            all.push(Violation::new("", reason));
        }
        all
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let colon = if violation.field.is_empty() { "" } else { ": " };
            write!(
                f,
                "{separator}{}{colon}{}",
                violation.field, violation.reason
            )?;
        }

        Ok(())
    }
}

/// Adds a violation unless the value is 1 to `most`.
pub(crate) fn counted(
    wrong: &mut Vec<Violation>,
    field: &str,
    value: usize,
    most: usize,
) {
    if value == 0 || value > most {
        wrong.push(Violation::new(
            field,
            format!("must be 1 to {most}, is {value}"),
        ));
    }
}

/// Adds a violation unless the value is 0 to `most`.
pub fn at_most(
    wrong: &mut Vec<Violation>,
    field: &str,
    value: usize,
    most: usize,
) {
    if value > most {
        wrong.push(Violation::new(
            field,
            format!("must be at most {most}, is {value}"),
        ));
    }
}

/// Adds a violation unless the value is in the range; NaN is in none.
pub(crate) fn in_range(
    wrong: &mut Vec<Violation>,
    field: &str,
    value: f64,
    range: RangeInclusive<f64>,
) {
    if !range.contains(&value) {
        let (least, most) = (range.start(), range.end());
        let reason = format!("must be {least} to {most}, is {value}");
        wrong.push(Violation::new(field, reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_and_much_of_it_is_counted() {
        let mut wrong = Violations::default();
        assert_eq!(wrong.take(Ok(5)), Some(5));
        assert_eq!(wrong.or_default::<u8>(Err(Invalid::one("a", "no"))), 0);
        wrong.add("b", "neither");
        assert_eq!(wrong.into_invalid().to_string(), "a: no; b: neither");
        assert_eq!(Violations::default().check(), Ok(()));

        let mut many = Violations::default();
        for number in 0..MOST_TOLD + 3 {
            many.add(format!("ids[{number}]"), "is empty");
        }
        let told = many.check().unwrap_err().0;
        assert_eq!(told.len(), MOST_TOLD + 1);
        assert_eq!(told[MOST_TOLD].reason, "and 3 more");
    }
}
