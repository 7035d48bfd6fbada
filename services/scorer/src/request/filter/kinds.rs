//! What kind of value a field or an expression has, as far as that is known
//! before an item is looked at.

use std::collections::BTreeMap;

use domain::Item;
use serde_json::Value;

/// Attributes that are named when a filter asks for one that there is not.
const NAMED: usize = 20;
/// Fields of an item that have names of their own.
const OWN: [&str; 5] = ["id", "title", "category", "categories", "attributes"];

/// The kinds that a value may be of: several where items differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const TRUTH: Self = Self(1);
    pub(super) const WHOLE: Self = Self(2);
    pub(super) const DECIMAL: Self = Self(4);
    pub(super) const TEXT: Self = Self(8);
    pub(super) const LIST: Self = Self(16);
    pub(super) const MAP: Self = Self(32);
    pub(super) const NULL: Self = Self(64);
    pub(super) const ANY: Self = Self(127);
    pub(super) const NUMBER: Self = Self(2 | 4);

    const WORDS: [(Self, &'static str); 7] = [
        (Self::TRUTH, "true or false"),
        (Self::WHOLE, "a whole number"),
        (Self::DECIMAL, "a number with decimals"),
        (Self::TEXT, "text"),
        (Self::LIST, "a list"),
        (Self::MAP, "a map"),
        (Self::NULL, "null"),
    ];

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::TRUTH,
            Value::Number(number) if number.is_i64() => Self::WHOLE,
            Value::Number(_) => Self::DECIMAL,
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::MAP,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether a value can be of one of the kinds.
    pub(super) fn may_be(self, other: Self) -> bool {
        self.and(other).0 != 0
    }

    /// With both kinds of numbers where there is one: they compare.
    pub(super) fn as_compared(self) -> Self {
        if self.may_be(Self::NUMBER) {
            self.or(Self::NUMBER)
        } else {
            self
        }
    }

    /// The kinds in words, such as `text or a list`.
    pub(super) fn words(self) -> String {
        if self == Self::ANY {
            return "anything".to_owned();
        }
        if self == Self::NUMBER {
            return "a number".to_owned();
        }
        let mut words = Vec::new();
        for (kind, word) in Self::WORDS {
            if self.may_be(kind) {
                words.push(word);
            }
        }
        words.join(" or ")
    }
}

/// The fields of a catalogue and what its items have in them.
#[derive(Debug)]
pub(super) struct Fields {
    attributes: BTreeMap<String, Kinds>,
}

impl Fields {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut attributes: BTreeMap<String, Kinds> = BTreeMap::new();
        for item in items {
            for (name, value) in &item.attributes {
                let kind = Kinds::of(value);
                match attributes.get_mut(name) {
                    Some(kinds) => *kinds = kinds.or(kind),
                    None => drop(attributes.insert(name.clone(), kind)),
                }
            }
        }
        Self { attributes }
    }

    /// The kinds of a field by its own name; an error that names the fields
    /// when there is none.
    pub(super) fn kinds(&self, name: &str) -> Result<Kinds, String> {
        match name {
            "id" | "title" | "category" => Ok(Kinds::TEXT),
            "categories" => Ok(Kinds::LIST),
            "attributes" => Ok(Kinds::MAP),
            attribute => self.attribute(attribute),
        }
    }

    /// The kinds of an attribute; an error that names the fields when no item
    /// has it.
    pub(super) fn attribute(&self, name: &str) -> Result<Kinds, String> {
        if let Some(kinds) = self.attributes.get(name) {
            return Ok(*kinds);
        }
        let attributes = self.attributes.keys().map(String::as_str);
        let mut known = OWN.to_vec();
        known.extend(attributes.take(NAMED));
        let known = known.join(", ");
        Err(format!(
            "`{name}` is no field of this catalogue; there are {known}"
        ))
    }
}
