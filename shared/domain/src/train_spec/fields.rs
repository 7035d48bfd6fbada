//! A specification's fields by their paths, as people type them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::train_spec::TrainSpec;

impl TrainSpec {
    /// Every field by its path, such as `finetuning.epochs`, as it is typed.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let value = serde_json::to_value(self);
        let value = value.expect("a specification is plain text and numbers");
        add(&mut found, "", &value);
        found
    }

    /// The fields that are not the defaults for its data set.
    pub fn changed_fields(&self) -> BTreeMap<String, String> {
        let defaults = Self::new(self.dataset.clone()).fields();
        let mut changed = self.fields();
        changed.retain(|path, value| defaults.get(path) != Some(value));
        changed
    }
}

fn add(found: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let inner = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                add(found, &inner, value);
            }
        }
        Value::String(text) => {
            found.insert(path.to_owned(), text.clone());
        }
        Value::Null => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            found.insert(path.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DatasetId;

    #[test]
    fn what_differs_from_the_defaults_is_named_by_its_path() {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        assert!(spec.changed_fields().is_empty());
        spec.seed = 5;
        spec.finetuning.epochs += 1;
        let changed = spec.changed_fields();
        let paths: Vec<&str> = changed.keys().map(String::as_str).collect();
        assert_eq!(paths, ["finetuning.epochs", "seed"]);
        assert_eq!(changed["seed"], "5");
    }
}
