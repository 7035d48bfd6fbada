//! What is known of an item beside title and categories, as
//! `google.protobuf.Struct` and as JSON.

use prost_types::value::Kind;
use serde_json::{Map, Value};

pub(crate) fn fields(fields: prost_types::Struct) -> Map<String, Value> {
    let fields = fields.fields.into_iter();
    fields.map(|(name, value)| (name, json(value))).collect()
}

fn json(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(is_so)) => Value::Bool(is_so),
        Some(Kind::StructValue(of)) => Value::Object(fields(of)),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(json).collect())
        }
    }
}

/// A whole number is one, as it is in a data set.
fn number(number: f64) -> Value {
    /// Whole numbers up to this one are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Value::from(number as i64);
    }

    Value::from(number)
}

/// The same on the wire.
pub fn attributes(fields: &Map<String, Value>) -> prost_types::Struct {
    let fields = fields.iter();
    prost_types::Struct {
        fields: fields
            .map(|(name, value)| (name.clone(), on_the_wire(value)))
            .collect(),
    }
}

fn on_the_wire(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(is_so) => Kind::BoolValue(*is_so),
        Value::Number(number) => {
            Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN))
        }
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(prost_types::ListValue {
            values: list.iter().map(on_the_wire).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(attributes(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were() {
        let text = r#"{"a": [1, 2.5, null], "b": {"c": true}, "d": "e"}"#;
        let known: Map<String, Value> = serde_json::from_str(text).unwrap();
        assert_eq!(fields(attributes(&known)), known);
    }
}
