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
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(under)), Value::Table(over)) => {
                merge(under, over)
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
