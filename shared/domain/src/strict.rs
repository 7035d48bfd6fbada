//! Reads what people write: job specifications and the like.
//!
//! What this program wrote itself may come from a newer version of it, so the
//! types ignore fields that they do not know. In a person's file such a field
//! is a typing error, and is refused here.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_ignored::Path;

use crate::field::{Invalid, Violation};

/// Reads a value, and refuses all fields that it does not have, each by its
/// path.
pub fn read_strictly<'de, T, D>(written: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let mut unknown = Vec::new();
    let value = serde_ignored::deserialize(written, |path| {
        unknown.push(Violation::new(name(&path), "is not a known field"));
    })?;
    Invalid::check(unknown).map_err(D::Error::custom)?;
    Ok(value)
}

/// Writes a path as people do, `finetuning.batch`; an enum's variant is left
/// out.
fn name(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", name(parent)),
        Path::Map { parent, key } => match name(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => name(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train_spec::TrainSpec;

    fn read(written: &str) -> Result<TrainSpec, toml::de::Error> {
        let table: toml::Table = written.parse()?;
        read_strictly(table)
    }

    fn refused(written: &str) -> String {
        read(written).unwrap_err().to_string()
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_its_path() {
        let written = "dataset = 'd'\nsede = 1\nfinetuning = { bacth = 20 }";
        let message = refused(written);
        assert!(message.contains("sede: is not a known field"), "{message}");
        assert!(message.contains("finetuning.bacth: is not"), "{message}");
        let message = refused("dataset = 'd'\nbackbone.random = { width = 8 }");
        assert!(message.contains("backbone.width: is not"), "{message}");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_too() {
        let message = refused("dataset = 'd'\noptimizer = 'sparse'");
        assert!(message.contains("sparse"), "{message}");
        let message = refused("dataset = 'd'\nbackbone.path = '../gpt2'");
        assert!(message.contains("../gpt2"), "{message}");
    }

    #[test]
    fn a_specification_that_is_right_is_read() {
        let written = "dataset = 'd'\nbackbone.random = { n_embd = 8 }\nlabels = ['live']";
        let spec = read(written).unwrap();
        assert_eq!(spec.labels.len(), 1);
        assert_eq!(spec.n_epochs().warmup, 0);
    }

    #[test]
    fn what_this_program_wrote_is_read_whatever_else_it_has() {
        let written =
            r#"{ "dataset": "d", "added": 1, "finetuning": { "added": 1 } }"#;
        let spec: TrainSpec = serde_json::from_str(written).unwrap();
        assert_eq!(spec.dataset.as_str(), "d");
    }
}
