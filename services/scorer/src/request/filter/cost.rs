//! How much work an expression is, before it is done for each item of a
//! catalogue.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, operators};

/// Most parts of an expression, over all items: some seconds of a core.
const MOST_STEPS: usize = 100_000_000;
/// Most `+` of an expression: each copies the text before it.
const MOST_ADDED: usize = 16;

/// Refuses an expression that is more work than any that is meant.
pub(super) fn check(
    expression: &IdedExpr,
    n_items: usize,
) -> Result<(), String> {
    let mut size = Size::default();
    size.add(expression);
    if size.n_added > MOST_ADDED {
        return Err(format!(
            "has {} `+`, at most {MOST_ADDED} are possible",
            size.n_added
        ));
    }
    let n_steps = size.n_parts.saturating_mul(n_items);
    if n_steps > MOST_STEPS {
        return Err(format!(
            "has {} parts, for {n_items} items at most {} are possible",
            size.n_parts,
            MOST_STEPS / n_items
        ));
    }
    Ok(())
}

/// What an expression consists of.
#[derive(Default)]
struct Size {
    n_parts: usize,
    n_added: usize,
}

impl Size {
    fn add(&mut self, expression: &IdedExpr) {
        self.n_parts += 1;
        match &expression.expr {
            Expr::Call(call) => {
                self.n_added += usize::from(call.func_name == operators::ADD);
                if let Some(target) = &call.target {
                    self.add(target);
                }
                for argument in &call.args {
                    self.add(argument);
                }
            }
            Expr::Select(select) => self.add(&select.operand),
            Expr::List(list) => {
                for element in &list.elements {
                    self.add(element);
                }
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.add(&entry.key);
                            self.add(&entry.value);
                        }
                        EntryExpr::StructField(field) => {
                            self.add(&field.value);
                        }
                    }
                }
            }
            // The last two are refused when the kinds are checked.
            Expr::Unspecified
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Comprehension(_)
            | Expr::Struct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cel::Program;

    fn refusal(text: &str, n_items: usize) -> Option<String> {
        let program = Program::compile(text).unwrap();
        check(program.expression(), n_items).err()
    }

    #[test]
    fn what_would_take_minutes_is_refused_and_long_lists_are_not() {
        let ids: Vec<String> =
            (0..900).map(|n| format!("\"item-{n}\"")).collect();
        let listed = format!("id in [{}]", ids.join(", "));
        assert_eq!(refusal(&listed, 100_000), None);
        let refused = refusal(&listed, 1_000_000).unwrap();
        assert!(refused.contains("at most 100 are possible"), "{refused}");

        let added = vec!["title"; 18].join(" + ") + " == \"\"";
        let refused = refusal(&added, 1).unwrap();
        assert!(refused.contains("has 17 `+`"), "{refused}");
    }
}
