//! A training specification as a TOML table: read, merged, changed field by
//! field, checked.

use std::path::Path;

use anyhow::{Context, bail};
use domain::TrainSpec;
use toml::{Table, Value};

/// Reads a specification file as a table.
pub(crate) fn read_spec(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    text.parse()
        .with_context(|| format!("{} is not TOML", path.display()))
}

/// Puts `over` over `under`, section by section.
pub(crate) fn merge(under: &mut Table, over: Table) {
    if let Some(Value::Table(backbone)) = over.get(BACKBONE) {
        for kind in backbone.keys() {
            forget_other_backbones(under, kind);
        }
    }

    merge_sections(under, over);
}

/// The section that is of one kind: `backbone.path` or `backbone.random`.
const BACKBONE: &str = "backbone";

/// A backbone of one kind takes the place of one of another.
fn forget_other_backbones(spec: &mut Table, kind: &str) {
    if let Some(Value::Table(backbone)) = spec.get_mut(BACKBONE) {
        backbone.retain(|other, _| other == kind);
    }
}

fn merge_sections(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(under)), Value::Table(over)) => {
                merge_sections(under, over)
            }
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// Sets one field: `a.b=value`, the value as in TOML, a bare word as text.
pub(crate) fn set(spec: &mut Table, field: &str) -> anyhow::Result<()> {
    let (path, value) = field
        .split_once('=')
        .with_context(|| format!("`{field}` is not FIELD=VALUE"))?;
    let mut sections: Vec<&str> = path.split('.').collect();
    if let [BACKBONE, kind, ..] = sections[..] {
        forget_other_backbones(spec, kind);
    }

    let name = sections.pop().unwrap_or(path);
    let mut table = spec;
    for section in sections {
        let inner = table.entry(section).or_insert_with(empty);
        table = inner.as_table_mut().with_context(|| {
            format!("`{section}` in `{path}` is no section")
        })?;
    }

    table.insert(name.to_owned(), parsed(value));
    Ok(())
}

fn empty() -> Value {
    Value::Table(Table::new())
}

fn parsed(value: &str) -> Value {
    let text = format!("value = {value}");
    let table: Result<Table, _> = text.parse();
    let parsed = table.ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| value.into())
}

/// A table as a specification, defaults filled in and checked.
pub(crate) fn checked(mut spec: Table) -> anyhow::Result<TrainSpec> {
    if !spec.contains_key("dataset") {
        bail!(
            "the specification names no data set: give `--dataset ID` (`cllm4rec dataset list` shows them)"
        );
    }

    // Without this section a specification is one from before texts were read.
    spec.entry("reading").or_insert_with(empty);
    let spec: TrainSpec = domain::read_strictly(spec)
        .context("the specification cannot be used")?;
    spec.validate()
        .context("the specification cannot be used")?;
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Backbone;

    fn made(under: &str, fields: &[&str]) -> anyhow::Result<TrainSpec> {
        let mut table: Table = "dataset = 'd'".parse()?;
        merge(&mut table, under.parse()?);
        for field in fields {
            set(&mut table, field)?;
        }
        checked(table)
    }

    #[test]
    fn a_backbone_of_one_kind_takes_the_place_of_the_other() {
        let random = "backbone.random = { n_embd = 64, n_head = 4 }";
        let spec = made(random, &["backbone.path=smollm2"]).unwrap();
        assert!(matches!(spec.backbone, Backbone::Path(_)));
        let path = "backbone.path = 'smollm2'";
        let spec = made(path, &["backbone.random.n_layer=2"]).unwrap();
        assert!(matches!(spec.backbone, Backbone::Random(_)));
        let several = ["backbone.random.n_layer=2", "backbone.random.n_head=8"];
        let Backbone::Random(shape) = made(random, &several).unwrap().backbone
        else {
            panic!("a random one");
        };
        assert_eq!(
            (shape.n_embd, shape.n_layer, shape.n_head),
            (64, 2, 8),
            "fields of the same kind join"
        );

        let mut table: Table = random.parse().unwrap();
        merge(&mut table, path.parse().unwrap());
        assert_eq!(table, path.parse().unwrap());
    }

    #[test]
    fn an_unknown_value_lists_those_that_there_are() {
        for (field, values) in [
            ("optimizer=sparse", ["lazy", "dense"]),
            ("init=zero", ["normal", "spectral"]),
            ("hybrid.light=knn", ["none", "ease"]),
            ("evaluation.baselines=some", ["popularity", "all"]),
            ("backbone.random.value_path=x", ["random", "near_identity"]),
            ("backbone.paht=x", ["path", "random"]),
        ] {
            let refused = format!("{:#}", made("", &[field]).unwrap_err());
            let (path, value) = field.split_once('=').unwrap();
            let name = path.rsplit('.').next().unwrap();
            let is_named = refused.contains(value) || refused.contains(name);
            assert!(is_named, "{field}: {refused}");
            for known in values {
                assert!(refused.contains(known), "{field}: {refused}");
            }
        }
    }
}
