//! Filters over what is known of an item, in a part of CEL: which rows of a
//! catalogue pass, as bits that are kept.
//!
//! Names are `id`, `title`, `category` (the narrowest), `categories`, and the
//! catalogue's attributes by their own names, or all of them as `attributes`.
//! An item for which the expression has no value (it lacks an attribute, or has
//! one of another type) does not pass; an expression that has a value for no
//! item of the catalogue is refused. Macros over lists are refused: the time for
//! an item would have no bound.

/// Whether an expression can mean anything for a catalogue.
mod check;
/// How much work an expression is.
mod cost;
/// What a catalogue's fields hold.
mod fields;
/// What kind of value a field or an expression has.
mod kinds;
/// What an operator or a function makes of the kinds of its values.
mod operation;
/// A part of an expression as it would be typed.
mod words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cel::{Context, Program, Value};
use domain::{Invalid, Item, ModelVersion};
use fixedbitset::FixedBitSet;

use crate::compute::bounded_work::BoundedWork;
use crate::error::Error;
use crate::request::filter::kinds::Fields;
use crate::versions::loaded::LoadedModel;

pub(crate) use fields::FieldSummary;

/// Memory for the bits of filters that were asked for, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Versions whose fields are kept.
const VERSIONS_WITH_FIELDS: u64 = 8;
/// New filters that are evaluated at once: each takes a core.
const AT_ONCE: usize = 2;

#[derive(Debug, Clone)]
pub(crate) struct Filters {
    known: moka::future::Cache<FilterKey, Arc<FixedBitSet>>,
    /// The fields of each version that somebody asked for them.
    fields: moka::future::Cache<ModelVersion, Arc<Vec<FieldSummary>>>,
    evaluations: BoundedWork,
}

/// A filter over the items of one version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FilterKey {
    version: ModelVersion,
    text: String,
}

impl Default for Filters {
    fn default() -> Self {
        let known = moka::future::Cache::builder()
            .weigher(entry_bytes)
            .max_capacity(MAX_BYTES)
            .build();
        Self {
            known,
            fields: moka::future::Cache::new(VERSIONS_WITH_FIELDS),
            evaluations: BoundedWork::new(AT_ONCE),
        }
    }
}

fn entry_bytes(key: &FilterKey, bits: &Arc<FixedBitSet>) -> u32 {
    let bytes = 128 + key.text.len() + bits.len() / 8;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Filters {
    /// The rows for which an expression holds.
    pub(crate) async fn rows(
        &self,
        model: &LoadedModel,
        text: &str,
    ) -> Result<Arc<FixedBitSet>, Error> {
        let key = FilterKey {
            version: model.version.clone(),
            text: text.to_owned(),
        };
        let rows = self.known.try_get_with(key, self.evaluate(model, text));
        rows.await.map_err(|error| (*error).clone())
    }

    /// The fields of a version's catalogue.
    pub(crate) async fn fields(
        &self,
        model: &LoadedModel,
    ) -> Result<Arc<Vec<FieldSummary>>, Error> {
        let items = Arc::clone(&model.items);
        let tally = async {
            let tally = move || fields::summaries(&items);
            Ok::<_, Error>(Arc::new(self.evaluations.run(tally).await?))
        };
        let fields = self.fields.try_get_with(model.version.clone(), tally);
        fields.await.map_err(|error| (*error).clone())
    }

    async fn evaluate(
        &self,
        model: &LoadedModel,
        text: &str,
    ) -> Result<Arc<FixedBitSet>, Error> {
        let items = Arc::clone(&model.items);
        let text = text.to_owned();
        let waits = Waits::default();
        let is_given_up = Arc::clone(&waits.is_given_up);
        let work = move || passing(&text, &items, &is_given_up);
        let rows = self.evaluations.run(work).await?;
        Ok(Arc::new(rows?))
    }
}

/// Somebody waits for a filter; once nobody does, its evaluation stops.
#[derive(Default)]
struct Waits {
    is_given_up: Arc<AtomicBool>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// Which items pass an expression; one that cannot be used is refused in the
/// field's name. What nobody waits for any more is left half-done.
fn passing(
    text: &str,
    items: &[Item],
    is_given_up: &AtomicBool,
) -> Result<FixedBitSet, Invalid> {
    let filter = ItemFilter::new(text)?;
    let expression = filter.program.expression();
    cost::check(expression, items.len()).map_err(refused)?;
    check::check(expression, &Fields::of(items)).map_err(refused)?;
    let mut rows = FixedBitSet::with_capacity(items.len());
    for (row, item) in items.iter().enumerate() {
        if is_given_up.load(Ordering::Relaxed) {
            return Err(refused("was given up".to_owned()));
        }
        if filter.holds_for(item)? {
            rows.insert(row);
        }
    }
    Ok(rows)
}

/// An expression that is asked of one item after the other.
pub(super) struct ItemFilter {
    program: Program,
    /// The fields that it looks at.
    names: HashSet<String>,
    functions: Context<'static, 'static>,
}

impl ItemFilter {
    /// Reads an expression; what it says of a catalogue is checked by
    /// [`Filters::rows`], before it is asked of any item.
    pub(super) fn new(text: &str) -> Result<Self, Invalid> {
        let program = compiled(text)?;
        let references = program.references();
        let names = references.variables().into_iter().map(str::to_owned);
        Ok(Self {
            names: names.collect(),
            functions: Context::default(),
            program,
        })
    }

    /// True when the expression holds for an item; an error when it is of
    /// another kind than true or false.
    pub(super) fn holds_for(&self, item: &Item) -> Result<bool, Invalid> {
        let mut context = self.functions.new_inner_scope();
        for name in &self.names {
            if let Some(value) = field(item, name) {
                context.add_variable_from_value(name.as_str(), value);
            }
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Err(_) => Ok(false),
            Ok(other) => {
                let found = other.type_of();
                Err(refused(format!("must be true or false, is {found:?}")))
            }
        }
    }
}

fn refused(reason: String) -> Invalid {
    Invalid::one("filter", reason)
}

fn compiled(text: &str) -> Result<Program, Invalid> {
    Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let (line, column) = first.map_or((1, 1), |error| error.pos);
        refused(unreadable(text, line, column))
    })
}

/// Letters that are shown of what cannot be read.
const N_SHOWN: usize = 30;

/// Where an expression stops being one: line and column, from 1.
fn unreadable(text: &str, line: isize, column: isize) -> String {
    let before = |n: isize| usize::try_from(n - 1).unwrap_or_default();
    let line = text.lines().nth(before(line)).unwrap_or_default();
    let rest = line.chars().skip(before(column));
    let rest: String = rest.take(N_SHOWN).collect();
    let where_it_is = if rest.trim().is_empty() {
        "it ends too early".to_owned()
    } else {
        format!("it cannot be read from `{rest}` on")
    };
    format!(
        "is no expression: {where_it_is}; equal is `==`, and is `&&`, or is `||`, text stands in quotes (docs/api.md)"
    )
}

/// A field of an item as CEL knows it; `None` for an attribute that it lacks.
fn field(item: &Item, name: &str) -> Option<Value> {
    match name {
        "id" => Some(item.id.as_str().into()),
        "title" => Some(item.title.as_str().into()),
        "category" => {
            let narrowest = item.categories.last()?;
            Some(narrowest.as_str().into())
        }
        "categories" => Some(item.categories.clone().into()),
        "attributes" => Some(map(&item.attributes)),
        attribute => item.attributes.get(attribute).map(value),
    }
}

fn map(fields: &serde_json::Map<String, serde_json::Value>) -> Value {
    let mut map = HashMap::with_capacity(fields.len());
    for (name, of_field) in fields {
        map.insert(name.clone(), value(of_field));
    }
    map.into()
}

/// A value of an attribute as CEL knows it. Whole numbers are signed, as those
/// of a filter's text are: CEL computes with two of a kind only.
fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => list.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(fields) => map(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ItemId;
    use std::time::{Duration, Instant};

    fn items() -> Vec<Item> {
        let item = |id: &str, categories: &[&str], attributes: &str| Item {
            id: ItemId::new(id).unwrap(),
            title: format!("The {id}"),
            categories: categories
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            attributes: serde_json::from_str(attributes).unwrap(),
        };
        vec![
            item(
                "a",
                &["Games", "RPG"],
                r#"{"year": 2016, "price": 9.5, "brand": "North"}"#,
            ),
            item(
                "b",
                &["Games", "Racing"],
                r#"{"year": 2012, "brand": "South"}"#,
            ),
            item("c", &[], r#"{"year": "unknown"}"#),
        ]
    }

    fn passes(text: &str) -> Vec<usize> {
        let rows = passing(text, &items(), &AtomicBool::new(false));
        rows.unwrap().ones().collect()
    }

    fn refusal(text: &str) -> String {
        let rows = passing(text, &items(), &AtomicBool::new(false));
        rows.unwrap_err().to_string()
    }

    #[test]
    fn what_nobody_waits_for_is_left_half_done() {
        let waits = Waits::default();
        let is_given_up = Arc::clone(&waits.is_given_up);
        let rows = || passing("year > 2000", &items(), &is_given_up);
        assert!(rows().is_ok());
        drop(waits);
        assert!(rows().is_err());
    }

    #[test]
    fn fields_compare_and_combine() {
        assert_eq!(passes(r#"category in ["RPG"] && year >= 2015"#), [0]);
        assert_eq!(passes(r#""Games" in categories"#), [0, 1]);
        assert_eq!(passes(r#"brand == "South" || price < 10.0"#), [0, 1]);
        assert_eq!(
            passes("price < 10"),
            [0],
            "whole and other numbers compare"
        );
        assert_eq!(
            passes(r#"!(id in ["a"]) && title.startsWith("The")"#),
            [1, 2]
        );
        assert_eq!(passes(r#"attributes["year"] == 2012"#), [1]);
    }

    #[test]
    fn an_item_without_the_attribute_or_with_another_type_does_not_pass() {
        assert_eq!(passes("year < 3000"), [0, 1]);
        assert_eq!(passes("price > 0.0"), [0]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        let refused = refusal("categories + categories == []");
        assert!(refused.contains("filter"), "{refused}");
        let refused = refusal("year >=");
        assert!(refused.contains("no expression: it ends too"), "{refused}");
        let refused = refusal(r#"category = "RPG""#);
        assert!(refused.contains(r#"from `= "RPG"` on"#), "{refused}");
        assert!(
            refusal("colour == 3").contains("`colour` is no field")
                && refusal("colour == 3").contains("brand")
        );
        assert!(
            refusal("categories.exists(c, c == \"RPG\")").contains("macros")
        );
        assert!(refusal("title").contains("true or false"));
    }

    #[test]
    fn what_has_a_value_for_no_item_is_refused_where_it_is_wrong() {
        for (text, said) in [
            (
                r#"title.matches("x")"#,
                "`matches` in `title.matches(\"x\")` is no function",
            ),
            (
                "title == 5",
                "`title == 5` does not fit: `title` is text, `5` is a whole number",
            ),
            ("year > 2000 && title < 5", "`title < 5` does not fit"),
            ("1/0", "`1 / 0` divides by zero"),
            ("year / (2 - 2) > 1", "`year / (2 - 2)` divides by zero"),
            ("year > 9223372036854775807 + 1", "has no value"),
            ("true || 1 / 0 == 1", "`1 / 0` divides by zero"),
            ("price * 2 > 10", "write whole numbers as 2.0"),
            (
                r#"title in ["a"] || 5 in categories"#,
                "`5 in categories` never holds",
            ),
            (r#"brand in [1, 2]"#, "the list holds a whole number"),
            (
                "!title",
                "`title` is text, but `!title` needs true or false",
            ),
            ("brand && true", "needs true or false"),
            (r#"attributes["colour"] == 3"#, "`colour` is no field"),
            ("attributes.colour == 3", "`colour` is no field"),
            ("title.size == 3", "it has no field `size`"),
            (r#"contains(title, "a")"#, "write `text.contains"),
            ("size(year) > 3 && size() > 1", "`size()` is not how"),
            (r#"categories["a"] == "b""#, "needs a whole number there"),
            (
                "year",
                "must be true or false, `year` is a whole number or text",
            ),
        ] {
            let message = refusal(text);
            assert!(message.contains(said), "{text}: {message}");
        }
    }

    #[test]
    fn what_can_hold_for_some_item_is_asked_of_each() {
        assert_eq!(passes(r#"year == "unknown" || year == 2012"#), [1, 2]);
        assert_eq!(passes("brand != null && size(brand) == 5"), [0, 1]);
        assert_eq!(passes(r#"has(attributes.price) && price * 2.0 > 10"#), [0]);
        assert_eq!(passes(r#"(year > 2014 ? "new" : "old") == "new""#), [0]);
        assert_eq!(
            passes(r#"categories[0] == "Games" && year % 2 == 0"#),
            [0, 1]
        );
        assert_eq!(passes(r#"string(year).endsWith("2")"#), [1]);
        assert_eq!(passes("title in []"), [0; 0]);
        assert_eq!(passes(r#"year + "s" == "unknowns""#), [2]);
    }

    /// What the texts are made of, with spaces between.
    const WORDS: &str = r#"year ( ) [ ] { } && || ! - >= == in "RPG" 1 2.5 . ? : size categories , \ ' 🦀 has 1e999 9223372036854775807 + * %"#;

    #[test]
    fn no_text_makes_the_filter_panic_or_hang() {
        let words: Vec<&str> = WORDS.split(' ').collect();
        let deep: Vec<String> =
            ["(", "!", "-", "[", "{", "year.", "year||", "year+"]
                .iter()
                .map(|w| w.repeat(2_000 / w.len()))
                .collect();
        for text in deep {
            let never = AtomicBool::new(false);
            drop(passing(&text, &items(), &never));
        }
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        // `make fuzz` goes on for longer.
        #[expect(
            clippy::disallowed_methods,
            reason = "a test is told by the environment"
        )]
        let seconds = std::env::var("FUZZ_SECONDS")
            .map_or(0, |seconds| seconds.parse().unwrap());
        let until = Instant::now() + Duration::from_secs(seconds);
        for round in 0_u64.. {
            if round >= 20_000 && Instant::now() >= until {
                break;
            }
            let mut text = String::new();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            for place in 0..(state >> 60) {
                text.push_str(
                    words[(state >> (place * 4) & 0xffff) as usize
                        % words.len()],
                );
                text.push(' ');
                state =
                    state.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
            let never = AtomicBool::new(false);
            drop(passing(&text, &items(), &never));
        }
    }
}
