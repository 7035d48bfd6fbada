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
    /// Says what is wrong with `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
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
pub(crate) fn at_most(
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
