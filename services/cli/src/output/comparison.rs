//! Versions side by side, for people.

use domain::Metric;
use proto::pb;
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
            let percent = 100.0 * (value / first - 1.0);
            values.push(format!("{value:.4}  ({percent:+.1} %)"));
        } else {
            values.push(format!("{value:.4}"));
        }
    }
    cells(metric.name(), &values)
}
