//! A value as a file has it. Text files have text only; the other forms say
//! more, and what they say is kept.

use std::borrow::Cow;

use serde_json::Value;

/// The value of one column in one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Nothing: null, or no such column in this row.
    Missing,
    /// Text; a cell of a text file, whatever it looks like.
    Text(Cow<'a, str>),
    /// A number as it is written, all its digits kept.
    Number(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// A number that the file keeps in binary.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// Bytes of which the file says nothing more.
    Bytes(Cow<'a, [u8]>),
    /// A time, in milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// A list or an object.
    Nested(Value),
}

impl Cell<'_> {
    /// The same cell, independent of the file.
    pub(crate) fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Missing => Cell::Missing,
            Self::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Self::Number(text) => Cell::Number(Cow::Owned(text.into_owned())),
            Self::Integer(number) => Cell::Integer(number),
            Self::Float(number) => Cell::Float(number),
            Self::Flag(flag) => Cell::Flag(flag),
            Self::Bytes(bytes) => Cell::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Time(ms) => Cell::Time(ms),
            Self::Nested(value) => Cell::Nested(value),
        }
    }

    /// What the cell says, for a message or as an attribute's text.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Text(text) | Self::Number(text) => text.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Time(ms) => ms.to_string(),
            Self::Nested(value) => value.to_string(),
        }
    }

    /// The text of a cell that holds text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Missing
            | Self::Number(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Flag(_)
            | Self::Time(_)
            | Self::Nested(_) => None,
        }
    }

    /// True for null and for blank text.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::Float(number) => number.is_nan(),
            Self::Text(text) => text.trim().is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Number(_)
            | Self::Integer(_)
            | Self::Flag(_)
            | Self::Time(_)
            | Self::Nested(_) => false,
        }
    }
}
