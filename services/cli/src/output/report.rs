//! What a finished job says about itself: does the model add anything, and how
//! did training go? As text and as one HTML page that needs nothing else.

use domain::{Metric, RankedBy};
use proto::pb;

use crate::output::advice::advice;
use crate::output::chart::{EpochValue, curve};
use crate::output::html::escaped;
use crate::output::text::{FINAL_FIT, is_fitted_finally, metrics_table};

/// The report for a terminal.
pub(crate) fn text(job: &pb::Job, n_users: usize) -> String {
    let table = metrics_table(job);
    let advice = advice(job, n_users).join("\n");
    format!("{table}\n\n{advice}")
}

/// The report as a page; `what` names the data set.
pub(crate) fn html(job: &pb::Job, what: &str, n_users: usize) -> String {
    let mut page = head(job, what);
    for line in advice(job, n_users) {
        page.push_str(&format!("<p><strong>{}</strong></p>\n", escaped(&line)));
    }

    page.push_str("<h2>Test split</h2>\n");
    page.push_str(&metrics(job));
    page.push_str("<h2>Training</h2>\n");
    if let Some(progress) = &job.progress {
        page.push_str(&charts(progress));
    }

    page.push_str("</body></html>\n");
    page
}

fn head(job: &pb::Job, what: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>cllm4rec: {what}</title>\n<style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222}}\
         table{{border-collapse:collapse}}td,th{{padding:.3em 1em;text-align:right;border-bottom:1px solid #ddd}}\
         td:first-child,th:first-child{{text-align:left}}svg{{width:100%;height:auto}}</style></head><body>\n\
         <h1>{what}</h1>\n<p>{}, {}</p>\n",
        escaped(&job.name),
        escaped(&job.model_version),
        what = escaped(what)
    )
}

/// A row for each ranking that is compared.
fn metrics(job: &pb::Job) -> String {
    let mut table = "<table><tr><th></th>".to_owned();
    for metric in Metric::ALL {
        table.push_str(&format!("<th>{}</th>", metric.name()));
    }

    table.push_str("</tr>\n");
    for ranker in RankedBy::COMPARED {
        table.push_str(&format!("<tr><td>{}</td>", ranker.label()));
        for metric in Metric::ALL {
            let value = job.metrics.get(&ranker.key(metric));
            let cell =
                value.map_or("–".to_owned(), |value| format!("{value:.4}"));
            table.push_str(&format!("<td>{cell}</td>"));
        }

        table.push_str("</tr>\n");
    }

    table.push_str("</table>\n");
    if is_fitted_finally(job) {
        table.push_str(&format!("<p>{FINAL_FIT}.</p>\n"));
    }
    table
}

/// A curve of the validation, and one of each stage's losses.
fn charts(progress: &pb::Progress) -> String {
    let mut validated = Vec::new();
    for (place, epoch) in progress.epochs.iter().enumerate() {
        let Some(value) = epoch.valid_ndcg_100 else {
            continue;
        };
        validated.push(EpochValue {
            epoch: place + 1,
            value,
        });
    }

    let mut charts =
        curve("NDCG@100 on validation, by epoch of the job", &validated);
    for stage in &progress.stages {
        let title = format!("Loss of {}, by epoch", stage.stage);
        charts.push_str(&curve(&title, &losses(progress, &stage.stage)));
    }

    charts
}

fn losses(progress: &pb::Progress, stage: &str) -> Vec<EpochValue> {
    let mut losses = Vec::new();
    for epoch in &progress.epochs {
        if epoch.stage == stage {
            losses.push(EpochValue {
                epoch: epoch.epoch as usize,
                value: epoch.loss,
            });
        }
    }

    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(metrics: &[(&str, f64)]) -> pb::Job {
        let metrics = metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        let epoch = |epoch, loss| pb::EpochReport {
            stage: "finetuning".into(),
            epoch,
            loss,
            valid_ndcg_100: Some(0.1),
        };
        let stages = vec![pb::StageReport {
            stage: "finetuning".into(),
            ..Default::default()
        }];
        let progress = pb::Progress {
            epochs: vec![epoch(1, 3.0), epoch(2, 2.5)],
            stages,
            ..Default::default()
        };
        pb::Job {
            metrics,
            progress: Some(progress),
            ..Default::default()
        }
    }

    #[test]
    fn the_page_shows_a_curve_and_escapes_what_users_named() {
        let page = html(&job(&[("ndcg@100", 0.12)]), "<my> data", 500);
        assert!(page.contains("&lt;my&gt; data") && !page.contains("<my>"));
        assert_eq!(
            page.matches("<polyline").count(),
            2,
            "validation and one stage"
        );
    }
}
