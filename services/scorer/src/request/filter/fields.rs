//! What a catalogue's fields hold, for people who write filters.

use std::collections::HashMap;

use domain::Item;
use serde_json::Value;

use crate::request::filter::kinds::Kinds;

/// Fields that are told: attributes beyond are left out.
const MOST_FIELDS: usize = 200;
/// Values that are told of a field.
const MOST_VALUES: usize = 10;
/// Different values of a field that are counted: with more, nearly every item
/// has its own.
const MOST_COUNTED: usize = 1_000;
/// The longest value that is told, in bytes.
const LONGEST_VALUE: usize = 100;

/// A field that filters can ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldSummary {
    /// As a filter names it.
    pub(crate) name: String,
    /// What its values are, in words.
    pub(crate) kind: String,
    /// How many items have one.
    pub(crate) n_items: u64,
    /// The most frequent values, as a filter writes them; none where nearly
    /// every item has its own.
    pub(crate) values: Vec<String>,
}

/// The fields of a catalogue: the item's own, then its attributes by name.
pub(super) fn summaries(items: &[Item]) -> Vec<FieldSummary> {
    let mut fields: HashMap<&str, Tally<'_>> = HashMap::new();
    let text = Tally::new(Kinds::TEXT);
    let mut own = [text.clone(), text.clone(), text, Tally::new(Kinds::LIST)];
    for item in items {
        let [id, title, category, categories] = &mut own;
        id.n_items += 1;
        title.n_items += u64::from(!item.title.is_empty());
        if let Some(narrowest) = item.categories.last() {
            category.add_text(narrowest);
        }
        categories.n_items += u64::from(!item.categories.is_empty());
        for each in &item.categories {
            categories.count(each);
        }
        for (name, value) in &item.attributes {
            fields.entry(name).or_default().add(value);
        }
    }
    let mut attributes: Vec<_> = fields.into_iter().collect();
    attributes.sort_by_key(|(name, _)| *name);
    let names = ["id", "title", "category", "categories"];
    let own = names.into_iter().zip(own);
    let all = own.chain(attributes).take(MOST_FIELDS);
    all.filter(|(_, tally)| tally.n_items > 0)
        .map(|(name, tally)| tally.summary(name))
        .collect()
}

/// What the items have in a field.
#[derive(Debug, Clone)]
struct Tally<'a> {
    kinds: Kinds,
    n_items: u64,
    /// Items by text.
    texts: HashMap<&'a str, u64>,
    /// Items by truth or number, as a filter writes it.
    others: HashMap<String, u64>,
}

impl Default for Tally<'_> {
    fn default() -> Self {
        Self::new(Kinds::NONE)
    }
}

impl<'a> Tally<'a> {
    fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            n_items: 0,
            texts: HashMap::new(),
            others: HashMap::new(),
        }
    }

    fn add(&mut self, value: &'a Value) {
        self.kinds = self.kinds.or(Kinds::of(value));
        self.n_items += 1;
        match value {
            Value::String(text) => self.count(text),
            Value::Array(list) => {
                for one in list.iter().filter_map(Value::as_str) {
                    self.count(one);
                }
            }
            Value::Bool(_) | Value::Number(_) => {
                if self.others.len() <= MOST_COUNTED {
                    *self.others.entry(value.to_string()).or_default() += 1;
                }
            }
            Value::Null | Value::Object(_) => {}
        }
    }

    fn add_text(&mut self, text: &'a str) {
        self.n_items += 1;
        self.count(text);
    }

    fn count(&mut self, text: &'a str) {
        if self.texts.len() <= MOST_COUNTED {
            *self.texts.entry(text).or_default() += 1;
        }
    }

    fn summary(self, name: &str) -> FieldSummary {
        let mut counted: Vec<(String, u64)> = self.others.into_iter().collect();
        for (text, n) in self.texts {
            counted.push((Value::from(text).to_string(), n));
        }
        let is_too_many = counted.len() > MOST_COUNTED;
        // Values that no two items share name no part of the catalogue.
        counted.retain(|(value, n)| {
            !is_too_many && *n > 1 && value.len() <= LONGEST_VALUE
        });
        counted.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
        counted.truncate(MOST_VALUES);
        FieldSummary {
            name: name.to_owned(),
            kind: self.kinds.words(),
            n_items: self.n_items,
            values: counted.into_iter().map(|(value, _)| value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ItemId;

    #[test]
    fn fields_are_told_with_what_they_hold() {
        let item = |id: &str, categories: &[&str], attributes: &str| Item {
            id: ItemId::new(id).unwrap(),
            title: String::new(),
            categories: categories.iter().map(|&it| it.to_owned()).collect(),
            attributes: serde_json::from_str(attributes).unwrap(),
        };
        let items = [
            item("a", &["Games", "RPG"], r#"{"year": 2016, "new": true}"#),
            item("b", &["Games", "RPG"], r#"{"year": 2016}"#),
            item("c", &["Games"], r#"{"year": "un\"known", "tags": ["x"]}"#),
            item("d", &[], r#"{"year": "un\"known", "tags": ["x"]}"#),
        ];
        let told = summaries(&items);
        let told: Vec<_> = told
            .iter()
            .map(|it| (&*it.name, &*it.kind, it.n_items, it.values.join(" ")))
            .collect();
        let expected = [
            ("id", "text", 4, ""),
            ("category", "text", 3, r#""RPG""#),
            ("categories", "a list", 3, r#""Games" "RPG""#),
            ("new", "true or false", 1, ""),
            ("tags", "a list", 2, r#""x""#),
            ("year", "a whole number or text", 4, r#""un\"known" 2016"#),
        ];
        let expected = expected
            .map(|(name, kind, n, values)| (name, kind, n, values.to_owned()));
        assert_eq!(told, expected);
    }
}
