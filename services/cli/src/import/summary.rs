//! What an import says of itself: what was read as what, what was left out, and
//! what is probably not as it was meant.

use dataset::{Manifest, Report, date_of};
use serde_json::{Value, json};

/// The summary for programs.
pub(crate) fn json(manifest: &Manifest, report: &Report) -> Value {
    let refusals: Vec<String> =
        report.refusals.iter().map(ToString::to_string).collect();
    let items = report.items.as_ref().map(|items| {
        json!({
            "n_read": items.n_read,
            "n_matched": items.n_matched,
            "unmatched": items.unmatched,
            "undescribed": items.undescribed,
        })
    });
    let (first, last) = report.times_ms.unzip();
    json!({
        "manifest": manifest,
        "n_read": report.n_read,
        "n_refused": report.n_refused,
        "refusals": refusals,
        "n_missing": report.n_missing,
        "n_below_rating": report.n_below_rating,
        "n_unrated": report.n_unrated,
        "n_repeats": report.n_repeats,
        "n_outside_core": report.n_outside_core,
        "first_time_ms": first,
        "last_time_ms": last,
        "first_time": first.map(date_of),
        "last_time": last.map(date_of),
        "columns": report.columns,
        "items": items,
        "files": report.files,
        "ignored_files": report.ignored_files,
        "warnings": report.warnings,
        "notes": report.notes,
    })
}

/// The summary for people, each line beginning with a line end.
pub(crate) fn text(report: &Report) -> String {
    let mut lines = vec![rows(report)];
    if let Some((first, last)) = report.times_ms {
        lines.push(format!(
            "times from {} to {}",
            date_of(first),
            date_of(last)
        ));
    }
    if let Some(items) = &report.items {
        lines.push(format!(
            "{} items read, {} of the data set's matched",
            items.n_read, items.n_matched
        ));
    }
    lines.extend(report.column_lines());
    for note in &report.notes {
        lines.push(format!("note: {note}"));
    }
    for refusal in &report.refusals {
        lines.push(format!("refused {refusal}"));
    }
    for warning in &report.warnings {
        lines.push(format!("warning: {warning}"));
    }
    let mut text = String::new();
    for line in lines {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
}

fn rows(report: &Report) -> String {
    let mut line = format!(
        "{} lines read, {} refused, {} repeats, {} outside the core",
        report.n_read,
        report.n_refused,
        report.n_repeats,
        report.n_outside_core
    );
    for (n, what) in [
        (report.n_missing, "with something missing"),
        (report.n_below_rating, "rated too low"),
        (report.n_unrated, "without a rating"),
    ] {
        if n > 0 {
            line.push_str(&format!(", {n} {what}"));
        }
    }
    line
}
