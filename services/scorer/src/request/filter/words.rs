//! A part of a filter as it would be typed, so that an error can name it.

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, operators};

/// Longest part that is shown whole, in characters.
const LONGEST: usize = 60;

/// Operators with a word on both sides, as they are typed.
const BETWEEN: [(&str, &str); 14] = [
    (operators::LOGICAL_AND, "&&"),
    (operators::LOGICAL_OR, "||"),
    (operators::ADD, "+"),
    (operators::SUBSTRACT, "-"),
    (operators::MULTIPLY, "*"),
    (operators::DIVIDE, "/"),
    (operators::MODULO, "%"),
    (operators::EQUALS, "=="),
    (operators::NOT_EQUALS, "!="),
    (operators::GREATER_EQUALS, ">="),
    (operators::LESS_EQUALS, "<="),
    (operators::GREATER, ">"),
    (operators::LESS, "<"),
    (operators::IN, "in"),
];

/// The operator's sign, where it stands between two words.
pub(super) fn sign(function: &str) -> Option<&'static str> {
    let found = BETWEEN.iter().find(|(name, _)| *name == function);
    found.map(|(_, sign)| *sign)
}

/// The part in backticks, cut where it is long.
pub(super) fn quoted(expression: &Expr) -> String {
    let typed = typed(expression);
    if typed.chars().count() <= LONGEST {
        return format!("`{typed}`");
    }
    let start: String = typed.chars().take(LONGEST).collect();
    format!("`{start}…`")
}

fn typed(expression: &Expr) -> String {
    match expression {
        Expr::Ident(name) => name.clone(),
        Expr::Literal(value) => literal(value),
        Expr::Call(call) => called(call),
        Expr::Select(select) => {
            let whole =
                format!("{}.{}", typed(&select.operand.expr), select.field);
            if select.test {
                format!("has({whole})")
            } else {
                whole
            }
        }
        Expr::List(list) => {
            let elements: Vec<String> = list
                .elements
                .iter()
                .map(|element| typed(&element.expr))
                .collect();
            format!("[{}]", elements.join(", "))
        }
        Expr::Map(map) => {
            let mut entries = Vec::new();
            for entry in &map.entries {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    let key = typed(&entry.key.expr);
                    let value = typed(&entry.value.expr);
                    entries.push(format!("{key}: {value}"));
                }
            }
            format!("{{{}}}", entries.join(", "))
        }
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Struct(_) => {
            "…".to_owned()
        }
    }
}

fn literal(value: &LiteralValue) -> String {
    match value {
        LiteralValue::Boolean(truth) => truth.inner().to_string(),
        LiteralValue::Bytes(_) => "b\"…\"".to_owned(),
        LiteralValue::Double(number) => format!("{:?}", number.inner()),
        LiteralValue::Int(number) => number.inner().to_string(),
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::String(text) => format!("{:?}", text.inner()),
        LiteralValue::UInt(number) => format!("{}u", number.inner()),
    }
}

fn called(call: &CallExpr) -> String {
    let args: Vec<String> =
        call.args.iter().map(|arg| operand(&arg.expr)).collect();
    let name = call.func_name.as_str();
    if let (Some(sign), [left, right]) = (sign(name), &args[..]) {
        return format!("{left} {sign} {right}");
    }
    match (name, &args[..]) {
        (operators::LOGICAL_NOT, [of]) => format!("!{of}"),
        (operators::NEGATE, [of]) => format!("-{of}"),
        (operators::INDEX, [of, place]) => format!("{of}[{place}]"),
        (operators::CONDITIONAL, [asked, yes, no]) => {
            format!("{asked} ? {yes} : {no}")
        }
        _ => {
            let args: Vec<String> =
                call.args.iter().map(|arg| typed(&arg.expr)).collect();
            let args = args.join(", ");
            match &call.target {
                Some(target) => {
                    format!("{}.{name}({args})", operand(&target.expr))
                }
                None => format!("{name}({args})"),
            }
        }
    }
}

/// A part of a larger expression, in brackets where an operator is inside.
fn operand(expression: &Expr) -> String {
    let typed = typed(expression);
    let has_sign = match expression {
        Expr::Call(call) => {
            sign(&call.func_name).is_some()
                || call.func_name == operators::CONDITIONAL
        }
        Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => false,
    };
    if has_sign {
        format!("({typed})")
    } else {
        typed
    }
}
