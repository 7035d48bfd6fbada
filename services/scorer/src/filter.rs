//! Filters over what is known of an item, in a part of CEL: which rows of a catalogue pass, as bits
//! that are kept.
//!
//! Names are `id`, `title`, `category` (the narrowest), `categories`, and the catalogue's
//! attributes by their own names, or all of them as `attributes`. An item for which the expression
//! has no value (it lacks an attribute, or has one of another type) does not pass. Macros over
//! lists are refused: the time for an item would have no bound.

use std::collections::HashSet;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Program, Value};
use domain::{Invalid, Item, ModelVersion};
use fixedbitset::FixedBitSet;
use tokio::sync::Semaphore;

use crate::Error;
use crate::loaded::Loaded;

/// Filters that were asked for, as bits.
#[derive(Debug, Clone)]
pub(crate) struct Filters {
    known: moka::future::Cache<(ModelVersion, String), Arc<FixedBitSet>>,
    /// New ones that are evaluated at once.
    evaluations: Arc<Semaphore>,
}

/// Memory for them.
const MAX_BYTES: u64 = 64 << 20;
/// New filters at once: each takes a core.
const AT_ONCE: usize = 2;
/// Fields of an item that have names of their own.
const OWN: [&str; 5] = ["id", "title", "category", "categories", "attributes"];

impl Default for Filters {
    fn default() -> Self {
        let weigh = |(_, text): &(ModelVersion, String), bits: &Arc<FixedBitSet>| {
            u32::try_from(128 + text.len() + bits.len() / 8).unwrap_or(u32::MAX)
        };
        let known = moka::future::Cache::builder()
            .weigher(weigh)
            .max_capacity(MAX_BYTES)
            .build();
        Self {
            known,
            evaluations: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Filters {
    /// The rows for which an expression holds.
    pub(crate) async fn rows(&self, model: &Loaded, text: &str) -> Result<Arc<FixedBitSet>, Error> {
        let key = (model.version.clone(), text.to_owned());
        let evaluate = async {
            let turn = Arc::clone(&self.evaluations)
                .acquire_owned()
                .await
                .map_err(|_| Error::Broken)?;
            let (items, text) = (Arc::clone(&model.items), text.to_owned());
            let evaluation = tokio::task::spawn_blocking(move || {
                let _until_it_ends = turn; // it does not end with the request
                passing(&text, &items)
            });
            evaluation
                .await
                .map_err(|_| Error::Broken)?
                .map(Arc::new)
                .map_err(Error::from)
        };
        self.known
            .try_get_with(key, evaluate)
            .await
            .map_err(|error| (*error).clone())
    }
}

/// Which items pass an expression; one that cannot be used is refused in the field's name.
fn passing(text: &str, items: &[Item]) -> Result<FixedBitSet, Invalid> {
    let refused = |reason: String| Invalid::one("filter", reason);
    let program = Program::compile(text).map_err(|errors| {
        let first = errors
            .errors
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        refused(format!("is no expression: {first}"))
    })?;
    check(&program.expression().expr).map_err(refused)?;
    let references = program.references();
    let names: HashSet<&str> = references.variables().into_iter().collect();
    for name in &names {
        let is_known =
            OWN.contains(name) || items.iter().any(|item| item.attributes.contains_key(*name));
        if !is_known {
            let most: std::collections::BTreeSet<&String> = items
                .iter()
                .flat_map(|item| item.attributes.keys())
                .collect();
            let known: Vec<&str> = OWN
                .into_iter()
                .chain(most.into_iter().take(20).map(String::as_str))
                .collect();
            return Err(refused(format!(
                "`{name}` is no field of this catalogue; there are {}",
                known.join(", ")
            )));
        }
    }
    let functions = Context::default();
    let mut rows = FixedBitSet::with_capacity(items.len());
    for (row, item) in items.iter().enumerate() {
        let mut context = functions.new_inner_scope();
        for name in &names {
            if let Some(value) = field(item, name) {
                context.add_variable_from_value(*name, value);
            }
        }
        match program.execute(&context) {
            Ok(Value::Bool(true)) => rows.insert(row),
            Ok(Value::Bool(false)) | Err(_) => {}
            Ok(other) => {
                return Err(refused(format!(
                    "must be true or false, is {:?}",
                    other.type_of()
                )));
            }
        }
    }
    Ok(rows)
}

/// Refuses what would take unbounded time or means nothing here.
fn check(expression: &Expr) -> Result<(), String> {
    match expression {
        Expr::Comprehension(_) => {
            Err("macros (all, exists, filter, map) are not supported; use `in`".to_owned())
        }
        Expr::Struct(_) => Err("messages are not supported".to_owned()),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Ok(()),
        Expr::Call(call) => call
            .target
            .iter()
            .map(|target| &target.expr)
            .chain(call.args.iter().map(|arg| &arg.expr))
            .try_for_each(check),
        Expr::List(list) => list
            .elements
            .iter()
            .try_for_each(|element| check(&element.expr)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                check(&entry.key.expr).and_then(|()| check(&entry.value.expr))
            }
            EntryExpr::StructField(field) => check(&field.value.expr),
        }),
        Expr::Select(select) => check(&select.operand.expr),
    }
}

/// A field of an item as CEL knows it; `None` for an attribute that it lacks.
fn field(item: &Item, name: &str) -> Option<Value> {
    match name {
        "id" => Some(item.id.as_str().into()),
        "title" => Some(item.title.as_str().into()),
        "category" => item
            .categories
            .last()
            .map(|category| category.as_str().into()),
        "categories" => Some(cel::to_value(&item.categories).ok()?),
        "attributes" => Some(cel::to_value(&item.attributes).ok()?),
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
            categories: categories.iter().map(|&name| name.to_owned()).collect(),
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

    fn refused(text: &str) -> String {
        passing(text, &items()).unwrap_err().to_string()
    }

    #[test]
    fn fields_compare_and_combine() {
        assert_eq!(passes(r#"category in ["RPG"] && year >= 2015"#), [0]);
        assert_eq!(passes(r#""Games" in categories"#), [0, 1]);
        assert_eq!(passes(r#"brand == "South" || price < 10.0"#), [0, 1]);
        assert_eq!(passes("price < 10"), [0], "whole and other numbers compare");
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
        assert!(refused("year >=").contains("no expression"));
        assert!(
            refused("colour == 3").contains("`colour` is no field")
                && refused("colour == 3").contains("brand")
        );
        assert!(refused("categories.exists(c, c == \"RPG\")").contains("macros"));
        assert!(refused("title").contains("true or false"));
    }

    /// What the texts are made of, with spaces between.
    const WORDS: &str = r#"year ( ) [ ] { } && || ! - >= == in "RPG" 1 2.5 . ? : size categories , \ ' 🦀 has 1e999 9223372036854775807 + * %"#;

    #[test]
    fn no_text_makes_the_filter_panic_or_hang() {
        let words: Vec<&str> = WORDS.split(' ').collect();
        let deep: Vec<String> = ["(", "!", "-", "[", "{", "year.", "year||", "year+"]
            .iter()
            .map(|w| w.repeat(2_000 / w.len()))
            .collect();
        for text in deep {
            drop(passing(&text, &items()));
        }
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        // `make fuzz` goes on for longer.
        let seconds = std::env::var("FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
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
                text.push_str(words[(state >> (place * 4) & 0xffff) as usize % words.len()]);
                text.push(' ');
                state = state.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
            drop(passing(&text, &items()));
        }
    }
}
