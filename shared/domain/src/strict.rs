//! Reads what people write: job specifications and the like.
//!
//! What this program wrote itself may come from a newer version of it, so the types ignore fields
//! that they do not know. In a person's file such a field is a typing error, and is refused here.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_ignored::Path;

use crate::field::{Invalid, Violation};

/// Reads a value, and refuses all fields that it does not have, each by its path.
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

/// Writes a path as people do, `finetuning.batch`; an enum's variant is left out.
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

    fn refused(written: &str) -> String {
        let mut json = serde_json::Deserializer::from_str(written);
        read_strictly::<TrainSpec, _>(&mut json)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_its_path() {
        let written = r#"{ "dataset": "d", "sede": 1, "finetuning": { "bacth": 20 } }"#;
        let reason = "is not a known field";
        assert_eq!(
            refused(written),
            format!("sede: {reason}; finetuning.bacth: {reason}")
        );
        let written = r#"{ "dataset": "d", "backbone": { "random": { "width": 8 } } }"#;
        assert_eq!(refused(written), format!("backbone.width: {reason}"));
    }

    #[test]
    fn what_this_program_wrote_is_read_whatever_else_it_has() {
        let written = r#"{ "dataset": "d", "added": 1, "finetuning": { "added": 1 } }"#;
        let spec: TrainSpec = serde_json::from_str(written).unwrap();
        assert_eq!(spec.dataset.as_str(), "d");
    }
}
