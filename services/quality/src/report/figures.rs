//! Figures of the page: means over the seeds, and how they are written.

use domain::{Metric, RankedBy};

use crate::results::Line;

/// The columns of a table, one for each of [`Metric::ALL`].
pub(crate) const COLUMNS: &str = "Recall@20 | Recall@40 | NDCG@100";

/// A value for each of [`Metric::ALL`].
pub(crate) type Figures = [f64; 3];

/// Means over the lines, one line a seed.
pub(crate) fn means(lines: &[&Line], ranker: RankedBy) -> Figures {
    Metric::ALL.map(|metric| mean(&values(lines, &ranker.key(metric))))
}

/// True where every line has the metrics of a ranking.
pub(crate) fn is_measured(lines: &[&Line], ranker: RankedBy) -> bool {
    let key = ranker.key(Metric::Ndcg100);
    lines.iter().all(|line| line.metrics.contains_key(&key))
}

/// Standard deviations over the lines.
pub(crate) fn deviations(lines: &[&Line], ranker: RankedBy) -> Figures {
    Metric::ALL.map(|metric| deviation(&values(lines, &ranker.key(metric))))
}

/// The values of one metric; a line that lacks it is left out.
fn values(lines: &[&Line], key: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for line in lines {
        values.extend(line.metrics.get(key).copied());
    }
    values
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of a sample.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|value| (value - mean).powi(2));
    let variance = squares.sum::<f64>() / (values.len() as f64 - 1.0);
    variance.sqrt()
}

/// A row of a table.
pub(crate) fn row(name: &str, values: &Figures) -> String {
    let [recall_20, recall_40, ndcg_100] = values.map(figure);
    format!("| {name} | {recall_20} | {recall_40} | {ndcg_100} |\n")
}

/// Writes `.1234`, as the field does.
pub(crate) fn figure(value: f64) -> String {
    let text = format!("{value:.4}");
    match text.strip_prefix('0') {
        Some(digits) => digits.to_owned(),
        None => text,
    }
}

/// A difference, with its sign.
pub(crate) fn signed(difference: f64) -> String {
    let size = figure(difference.abs());
    let sign = if size == ".0000" {
        "±"
    } else if difference < 0.0 {
        "−"
    } else {
        "+"
    };
    format!("{sign}{size}")
}

/// A share as a signed percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share).replace('-', "−")
}
