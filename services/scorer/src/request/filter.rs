//! Filters over what is known of an item, in a part of CEL: which rows of a
//! catalogue pass, as bits that are kept.
//!
//! Names are `id`, `title`, `category` (the narrowest), `categories`, and the
//! catalogue's attributes by their own names, or all of them as `attributes`.
//! An item for which the expression has no value (it lacks an attribute, or has
//! one of another type) does not pass. Macros over lists are refused: the time
//! for an item would have no bound.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Program, Value};
use domain::{Invalid, Item, ModelVersion};
use fixedbitset::FixedBitSet;

use crate::compute::bounded_work::BoundedWork;
use crate::error::Error;
use crate::versions::loaded::LoadedModel;

/// Memory for the bits of filters that were asked for, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// New filters that are evaluated at once: each takes a core.
const AT_ONCE: usize = 2;
/// Attributes that are named when a filter asks for one that there is not.
const NAMED: usize = 20;
/// Fields of an item that have names of their own.
const OWN: [&str; 5] = ["id", "title", "category", "categories", "attributes"];

#[derive(Debug, Clone)]
pub(crate) struct Filters {
    known: moka::future::Cache<FilterKey, Arc<FixedBitSet>>,
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

    async fn evaluate(
        &self,
        model: &LoadedModel,
        text: &str,
    ) -> Result<Arc<FixedBitSet>, Error> {
        let items = Arc::clone(&model.items);
        let text = text.to_owned();
        let rows = self.evaluations.run(move || passing(&text, &items)).await?;
        Ok(Arc::new(rows?))
    }
}

/// Which items pass an expression; one that cannot be used is refused in the
/// field's name.
fn passing(text: &str, items: &[Item]) -> Result<FixedBitSet, Invalid> {
    let filter = ItemFilter::new(text)?;
    for name in &filter.names {
        check_name(name, items)?;
    }
    let mut rows = FixedBitSet::with_capacity(items.len());
    for (row, item) in items.iter().enumerate() {
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
    /// Refuses an expression that cannot be used.
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
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let first = first.map(ToString::to_string).unwrap_or_default();
        refused(format!("is no expression: {first}"))
    })?;
    check(&program.expression().expr).map_err(refused)?;
    Ok(program)
}

fn check_name(name: &str, items: &[Item]) -> Result<(), Invalid> {
    let mut items_with_it = items
        .iter()
        .filter(|item| item.attributes.contains_key(name));
    if OWN.contains(&name) || items_with_it.next().is_some() {
        return Ok(());
    }
    let attributes: BTreeSet<&String> = items
        .iter()
        .flat_map(|item| item.attributes.keys())
        .collect();
    let attributes = attributes.into_iter().map(String::as_str);
    let mut known = OWN.to_vec();
    known.extend(attributes.take(NAMED));
    let known = known.join(", ");
    Err(refused(format!(
        "`{name}` is no field of this catalogue; there are {known}"
    )))
}

/// Refuses what would take unbounded time or means nothing here.
fn check(expression: &Expr) -> Result<(), String> {
    match expression {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Comprehension(_) => {
            let reason =
                "macros (all, exists, filter, map) are not supported; use `in`";
            return Err(reason.to_owned());
        }
        Expr::Struct(_) => return Err("messages are not supported".to_owned()),
        Expr::Select(select) => check(&select.operand.expr)?,
        Expr::Call(call) => {
            if let Some(target) = &call.target {
                check(&target.expr)?;
            }
            for arg in &call.args {
                check(&arg.expr)?;
            }
        }
        Expr::List(list) => {
            for element in &list.elements {
                check(&element.expr)?;
            }
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                check_entry(&entry.expr)?;
            }
        }
    }
    Ok(())
}

fn check_entry(entry: &EntryExpr) -> Result<(), String> {
    match entry {
        EntryExpr::MapEntry(entry) => {
            check(&entry.key.expr)?;
            check(&entry.value.expr)
        }
        EntryExpr::StructField(field) => check(&field.value.expr),
    }
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
        "categories" => cel::to_value(&item.categories).ok(),
        "attributes" => cel::to_value(&item.attributes).ok(),
        attribute => cel::to_value(item.attributes.get(attribute)?).ok(),
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
        passing(text, &items()).unwrap().ones().collect()
    }

    fn refusal(text: &str) -> String {
        passing(text, &items()).unwrap_err().to_string()
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
        assert!(refusal("year >=").contains("no expression"));
        assert!(
            refusal("colour == 3").contains("`colour` is no field")
                && refusal("colour == 3").contains("brand")
        );
        assert!(
            refusal("categories.exists(c, c == \"RPG\")").contains("macros")
        );
        assert!(refusal("title").contains("true or false"));
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
            drop(passing(&text, &items()));
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
            drop(passing(&text, &items()));
        }
    }
}
