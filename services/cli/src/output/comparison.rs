//! Versions side by side, for people.

use std::collections::BTreeSet;

use domain::{Metric, TrainSpec};
use proto::pb;
use wording::change;
use worker::Comparison;

use crate::output::version;

/// What is shown of a comparison.
pub(crate) struct Shown<'a> {
    pub(crate) models: &'a [pb::ModelVersion],
    pub(crate) measured: &'a Comparison,
    /// The name of the data set that they were measured on.
    pub(crate) dataset: &'a str,
    pub(crate) differing: &'a [Field],
}

/// A field of the specifications, with its value in each.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// The fields of the specifications in which the versions differ, but for the
/// data set and the labels.
pub(crate) fn differing_fields(
    models: &[pb::ModelVersion],
) -> anyhow::Result<Vec<Field>> {
    let mut specs = Vec::new();
    for model in models {
        let spec = model.spec.clone().unwrap_or_default();
        specs.push(TrainSpec::try_from(spec)?.fields());
    }
    let names: BTreeSet<&String> =
        specs.iter().flat_map(|spec| spec.keys()).collect();
    let mut differing = Vec::new();
    for name in names {
        let mut values = Vec::new();
        for spec in &specs {
            let value = spec.get(name).map_or("-", String::as_str);
            values.push(value.to_owned());
        }
        let is_same = values.iter().all(|value| *value == values[0]);
        if !is_same && name != "dataset" && name != "labels" {
            differing.push(Field {
                name: name.clone(),
                values,
            });
        }
    }
    Ok(differing)
}

/// A column a version: what each is, how good it is on the same interactions,
/// and what was asked for differently.
pub(crate) fn text(shown: &Shown<'_>) -> String {
    let mut lines = vec![
        row("", shown.models, version::short_name),
        row("labels", shown.models, |model| model.labels.join(", ")),
        row("trained", shown.models, version::date),
        row("data set", shown.models, version::dataset),
        row("cost", shown.models, version::cost),
        row("lift when trained", shown.models, version::lift),
        String::new(),
        measured_on(shown),
    ];
    for metric in Metric::ALL {
        lines.push(measured(metric, shown));
    }
    if !shown.differing.is_empty() {
        lines.push("\nasked for differently".to_owned());
    }
    for field in shown.differing {
        lines.push(cells(&field.name, &field.values));
    }
    lines.join("\n")
}

fn row(
    name: &str,
    models: &[pb::ModelVersion],
    cell: impl Fn(&pb::ModelVersion) -> String,
) -> String {
    let values: Vec<String> = models.iter().map(cell).collect();
    cells(name, &values)
}

fn cells(name: &str, values: &[String]) -> String {
    let mut line = format!("{name:<28}");
    for value in values {
        line.push_str(&format!("  {value:<30}"));
    }
    line.trim_end().to_owned()
}

fn measured_on(shown: &Shown<'_>) -> String {
    let measured = shown.measured;
    let mut text = format!(
        "measured now on {} held-out interactions of {} users of {}, which none of them has learned from",
        measured.n_held_out, measured.n_users, shown.dataset
    );
    if measured.n_learned > 0 {
        text.push_str(&format!(
            "\n({} more were learned from by one of them and are left out)",
            measured.n_learned
        ));
    }
    text
}

/// A metric of each version, and how much more that is than the first one's.
fn measured(metric: Metric, shown: &Shown<'_>) -> String {
    let mut values = Vec::new();
    let mut first = 0.0;
    for metrics in &shown.measured.metrics {
        let value = metrics.value(metric);
        if values.is_empty() {
            first = value;
            values.push(format!("{value:.4}"));
        } else if first > 0.0 {
            let change = change(value / first);
            values.push(format!("{value:.4}  ({change})"));
        } else {
            values.push(format!("{value:.4}"));
        }
    }
    cells(metric.name(), &values)
}
