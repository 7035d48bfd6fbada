//! Which words each item's texts have: as Unicode divides a text into words, in
//! lower case, and each value of a field as one word that is the word of no
//! text.

use std::collections::HashMap;

use domain::Item;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

/// An attribute longer than this, in bytes, is a text and not a name.
const LONGEST_NAME: usize = 64;
/// Stands between a field's name and its value in the word that they make; no
/// word of a text has it.
const OF_FIELD: &str = ": ";

/// A word, by its number, and how often an item's texts have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) word: u32,
    pub(crate) count: u32,
}

/// Counts the words of items' texts, one text at a time.
#[derive(Debug)]
pub struct WordCounter {
    /// The number of each word that was seen.
    numbers: HashMap<String, u32>,
    /// How often each item has each word.
    counts: Vec<HashMap<u32, u32>>,
}

/// The words of a text, in their order.
pub(crate) fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words().map(str::to_lowercase)
}

impl WordCounter {
    /// A counter for a catalogue of `n_items` that has seen no text yet.
    pub fn new(n_items: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            counts: vec![HashMap::new(); n_items],
        }
    }

    /// Counts the words of one of an item's texts.
    pub fn add_text(&mut self, item: u32, text: &str) {
        for word in words_of(text) {
            self.add(item, word);
        }
    }

    /// Counts the words of an item's title, its categories, and those of its
    /// attributes that say what it is; a number says how much, and is no word.
    pub fn add_item(&mut self, row: u32, item: &Item) {
        self.add_text(row, &item.title);
        for category in &item.categories {
            self.add_value(row, "category", category);
        }
        for (name, value) in &item.attributes {
            self.add_attribute(row, &Attribute { name, value });
        }
    }

    fn add_attribute(&mut self, row: u32, attribute: &Attribute<'_>) {
        let name = attribute.name;
        match attribute.value {
            Value::String(text) if text.len() > LONGEST_NAME => {
                self.add_text(row, text);
            }
            Value::String(value) => self.add_value(row, name, value),
            Value::Bool(true) => self.add_value(row, name, "true"),
            Value::Array(values) => {
                for value in values {
                    self.add_attribute(row, &Attribute { name, value });
                }
            }
            Value::Null | Value::Bool(false) | Value::Number(_) => {}
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = &format!("{name}.{field}");
                    self.add_attribute(row, &Attribute { name, value });
                }
            }
        }
    }

    fn add_value(&mut self, item: u32, field: &str, value: &str) {
        let value = value.trim().to_lowercase();
        if !value.is_empty() {
            self.add(item, format!("{field}{OF_FIELD}{value}"));
        }
    }

    fn add(&mut self, item: u32, word: String) {
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(word).or_insert(next);
        *self.counts[item as usize].entry(number).or_default() += 1;
    }

    /// What was counted.
    pub fn finish(self) -> CountedWords {
        let mut words = vec![String::new(); self.numbers.len()];
        for (word, number) in self.numbers {
            words[number as usize] = word;
        }
        let mut rows = Vec::with_capacity(self.counts.len());
        for counts in self.counts {
            let counted = counts.into_iter();
            let mut row: Vec<Counted> = counted
                .map(|(word, count)| Counted { word, count })
                .collect();
            row.sort_unstable_by_key(|counted| counted.word);
            rows.push(row);
        }
        CountedWords { words, rows }
    }
}

/// A named value of an item.
struct Attribute<'a> {
    name: &'a str,
    value: &'a Value,
}

/// The words of each item, and how often it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedWords {
    /// Each word by its number.
    pub(crate) words: Vec<String>,
    /// Each item's words, ascending by number `[items]`.
    pub(crate) rows: Vec<Vec<Counted>>,
}

impl CountedWords {
    /// A catalogue whose texts are not read.
    pub fn none(n_items: usize) -> Self {
        Self {
            words: Vec::new(),
            rows: vec![Vec::new(); n_items],
        }
    }

    /// How many items have each word.
    pub(crate) fn items_with_each(&self) -> Vec<u32> {
        let mut n_with = vec![0; self.words.len()];
        for counted in self.rows.iter().flatten() {
            n_with[counted.word as usize] += 1;
        }
        n_with
    }
}

/// The value that a word is, where it is one of a field's.
pub(crate) fn value_of_field(word: &str) -> Option<&str> {
    word.split_once(OF_FIELD).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ItemId;

    #[test]
    fn a_value_of_a_field_is_the_word_of_no_text() {
        let mut counter = WordCounter::new(2);
        let attributes = r#"{"brand": "Fender ", "price": 9, "strings": 6,
            "colours": ["Red", "blue"], "made": {"in": "Japan"}}"#;
        let item = Item {
            id: ItemId::new("a").unwrap(),
            title: "Fender STRAT".to_owned(),
            categories: vec!["Guitars".to_owned()],
            attributes: serde_json::from_str(attributes).unwrap(),
        };
        counter.add_item(0, &item);
        counter.add_text(1, "fender, strat. fender");
        let counted = counter.finish();
        let mut fields: Vec<&str> = counted
            .words
            .iter()
            .map(String::as_str)
            .filter(|word| value_of_field(word).is_some())
            .collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "brand: fender",
                "category: guitars",
                "colours: blue",
                "colours: red",
                "made.in: japan"
            ]
        );
        let texts =
            [Counted { word: 0, count: 2 }, Counted { word: 1, count: 1 }];
        assert_eq!(counted.rows[1], texts);
        assert_eq!(counted.rows[0].len(), 7);
    }
}
