//! Whether a filter can mean anything for a catalogue, before an item is looked
//! at: its fields and functions exist, and its values fit each other.

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use cel::{Context, Value};

use crate::request::filter::kinds::{Fields, Kinds};
use crate::request::filter::operation::{Operation, of_literal};
use crate::request::filter::words::quoted;

/// What a part of an expression comes to.
#[derive(Debug, Clone, Copy)]
struct Found {
    kinds: Kinds,
    /// True when it is the same for every item.
    is_constant: bool,
}

/// Refuses an expression that has a value for no item of the catalogue, or one
/// that is neither true nor false; names the part that is wrong.
pub(super) fn check(
    expression: &IdedExpr,
    fields: &Fields,
) -> Result<(), String> {
    let checker = Checker {
        fields,
        functions: Context::default(),
    };
    let found = checker.found(expression)?;
    checker.refuse_failing_constant(expression, found)?;
    if found.kinds.may_be(Kinds::TRUTH) {
        return Ok(());
    }
    let part = quoted(&expression.expr);
    Err(format!(
        "must be true or false, {part} is {}",
        found.kinds.words()
    ))
}

struct Checker<'a> {
    fields: &'a Fields,
    functions: Context<'static, 'static>,
}

impl Checker<'_> {
    fn found(&self, expression: &IdedExpr) -> Result<Found, String> {
        match &expression.expr {
            Expr::Unspecified => Ok(constant(Kinds::ANY)),
            Expr::Ident(name) => Ok(of_item(self.fields.kinds(name)?)),
            Expr::Literal(value) => Ok(constant(of_literal(value))),
            Expr::Select(select) => self.selected(select),
            Expr::Call(call) => self.called(expression, call),
            Expr::List(list) => {
                let elements: Vec<&IdedExpr> = list.elements.iter().collect();
                self.all(&elements, Kinds::LIST)
            }
            Expr::Map(map) => {
                let mut parts = Vec::new();
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            parts.push(&entry.key);
                            parts.push(&entry.value);
                        }
                        EntryExpr::StructField(field) => {
                            parts.push(&field.value);
                        }
                    }
                }
                self.all(&parts, Kinds::MAP)
            }
            Expr::Comprehension(_) => Err(
                "macros (all, exists, filter, map) are not supported; use `in`"
                    .to_owned(),
            ),
            Expr::Struct(_) => Err("messages are not supported".to_owned()),
        }
    }

    /// Checks the parts of something that is of the given kind whatever they
    /// are.
    fn all(&self, parts: &[&IdedExpr], kinds: Kinds) -> Result<Found, String> {
        let found = self.parts(parts)?;
        let is_constant = found.iter().all(|found| found.is_constant);
        Ok(Found { kinds, is_constant })
    }

    /// What each part comes to; a constant beside what is none is computed.
    fn parts(&self, parts: &[&IdedExpr]) -> Result<Vec<Found>, String> {
        let mut all = Vec::with_capacity(parts.len());
        for part in parts {
            all.push(self.found(part)?);
        }
        if all.iter().all(|found| found.is_constant) {
            return Ok(all);
        }
        for (part, found) in parts.iter().zip(&all) {
            self.refuse_failing_constant(part, *found)?;
        }
        Ok(all)
    }

    fn refuse_failing_constant(
        &self,
        expression: &IdedExpr,
        found: Found,
    ) -> Result<(), String> {
        if !found.is_constant {
            return Ok(());
        }
        match Value::resolve(expression, &self.functions) {
            Ok(_) => Ok(()),
            Err(error) => {
                let part = quoted(&expression.expr);
                Err(format!("{part} has no value: {error}"))
            }
        }
    }

    fn selected(&self, select: &SelectExpr) -> Result<Found, String> {
        let operand = &select.operand;
        let is_attributes =
            matches!(&operand.expr, Expr::Ident(name) if name == "attributes");
        let kinds = if is_attributes {
            self.fields.attribute(&select.field)?
        } else {
            let found = self.found(operand)?;
            if !found.kinds.may_be(Kinds::MAP) {
                return Err(format!(
                    "{} is {}: it has no field `{}`",
                    quoted(&operand.expr),
                    found.kinds.words(),
                    select.field
                ));
            }
            Kinds::ANY
        };
        Ok(of_item(if select.test { Kinds::TRUTH } else { kinds }))
    }

    fn called(
        &self,
        whole: &IdedExpr,
        call: &CallExpr,
    ) -> Result<Found, String> {
        if let Some(kinds) = self.indexed_attribute(call)? {
            return Ok(of_item(kinds));
        }
        let mut parts: Vec<&IdedExpr> = Vec::new();
        parts.extend(call.target.as_deref());
        parts.extend(&call.args);
        let found = self.parts(&parts)?;
        let is_constant = found.iter().all(|found| found.is_constant);
        let kinds: Vec<Kinds> = found.iter().map(|one| one.kinds).collect();
        let operation = Operation {
            whole: &whole.expr,
            call,
            parts: &parts,
            kinds: &kinds,
        };
        let kinds = operation.result()?;
        let is_division =
            [operators::DIVIDE, operators::MODULO].contains(&&*call.func_name);
        if let ([_, divisor], true) = (&parts[..], is_division)
            && found[1].is_constant
        {
            self.refuse_zero(divisor, &whole.expr)?;
        }
        Ok(Found { kinds, is_constant })
    }

    /// The kinds of `attributes["name"]`; `None` for what is none.
    fn indexed_attribute(
        &self,
        call: &CallExpr,
    ) -> Result<Option<Kinds>, String> {
        let [map, key] = &call.args[..] else {
            return Ok(None);
        };
        let is_attributes =
            matches!(&map.expr, Expr::Ident(name) if name == "attributes");
        let Expr::Literal(LiteralValue::String(key)) = &key.expr else {
            return Ok(None);
        };
        if !is_attributes || call.func_name != operators::INDEX {
            return Ok(None);
        }
        self.fields.attribute(key.inner()).map(Some)
    }

    fn refuse_zero(
        &self,
        divisor: &IdedExpr,
        whole: &Expr,
    ) -> Result<(), String> {
        match Value::resolve(divisor, &self.functions) {
            Ok(Value::Int(0) | Value::UInt(0)) => {
                Err(format!("{} divides by zero", quoted(whole)))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn constant(kinds: Kinds) -> Found {
    Found {
        kinds,
        is_constant: true,
    }
}

fn of_item(kinds: Kinds) -> Found {
    Found {
        kinds,
        is_constant: false,
    }
}
