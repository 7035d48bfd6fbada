//! What a finished job says about itself: does the model add anything, and how did training go? As
//! text and as one HTML page that needs nothing else.

use std::fmt::Write;

use proto::pb;

use crate::output::{METRICS, RANKERS};

/// A lift smaller than this is not worth a model.
const WORTH: f64 = 0.02;
/// Seeds and splits move the metrics of fewer users by more than a model does.
const FEW_USERS: usize = 300;

/// What to do with the model, in sentences.
pub(crate) fn advice(job: &pb::Job, n_users: usize) -> Vec<String> {
    let metric = |name: &str| job.metrics.get(name).copied();
    let mut advice = Vec::new();
    let Some(served) = metric("ndcg@100") else {
        return vec![
            "The job has no metrics: its data set has no test split to measure on.".to_owned(),
        ];
    };
    let simpler = RANKERS[2..]
        .iter()
        .filter_map(|(name, prefix)| Some((*name, metric(&format!("{prefix}ndcg@100"))?)));
    match simpler.max_by(|a, b| a.1.total_cmp(&b.1)) {
        None => advice.push(
            "No simpler method was measured: set evaluation.baselines = \"all\" to compare."
                .to_owned(),
        ),
        Some((name, best)) if best <= 0.0 => {
            advice.push(format!(
                "{name} finds nothing at all on the test split: there is nothing to compare with."
            ));
        }
        Some((name, best)) => {
            let lift = served / best - 1.0;
            let lift_text = format!(
                "{:+.1} % NDCG@100 over {name}, the best simpler method",
                100.0 * lift
            );
            advice.push(if lift < WORTH {
                format!("The model adds nothing here ({lift_text}): {name} alone would do, at a fraction of the cost.")
            } else {
                format!("The model is worth its cost: {lift_text}.")
            });
        }
    }
    if let (Some(alone), Some(ease)) = (metric("llm_ndcg@100"), metric("ease_ndcg@100")) {
        match metric("hybrid_weight") {
            Some(weight) if weight > 0.0 && weight < 1.0 && alone < ease && served >= ease => advice.push(format!(
                "The language model alone is behind EASE; the hybrid (weight {weight:.1}) makes up for it."
            )),
            Some(weight) if weight >= 1.0 => {
                advice.push("Validation gave EASE all the weight: what is served is EASE alone.".to_owned());
            }
            Some(0.0) => {
                advice.push("Mixing EASE in did not help on validation: the language model ranks alone.".to_owned());
            }
            Some(_) | None => {}
        }
    }
    if n_users < FEW_USERS {
        advice.push(format!(
            "There are {n_users} users only: differences of a few percent can be chance. Try several seeds (`--set seed=1`)."
        ));
    }
    advice
}

/// The report for a terminal.
pub(crate) fn text(job: &pb::Job, n_users: usize) -> String {
    format!(
        "{}\n\n{}",
        crate::output::metrics_table(job),
        advice(job, n_users).join("\n")
    )
}

/// The report as a page.
pub(crate) fn html(job: &pb::Job, what: &str, n_users: usize) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>cllm4rec: {what}</title>\n<style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222}}\
         table{{border-collapse:collapse}}td,th{{padding:.3em 1em;text-align:right;border-bottom:1px solid #ddd}}\
         td:first-child,th:first-child{{text-align:left}}svg{{width:100%;height:auto}}</style></head><body>\n\
         <h1>{what}</h1>\n<p>{}, {}</p>\n",
        escaped(&job.name),
        escaped(&job.model_version),
        what = escaped(what)
    );
    advice(job, n_users)
        .iter()
        .for_each(|line| page.push_str(&format!("<p><strong>{}</strong></p>\n", escaped(line))));
    page.push_str("<h2>Test split</h2>\n<table><tr><th></th>");
    METRICS
        .iter()
        .for_each(|metric| page.push_str(&format!("<th>{metric}</th>")));
    page.push_str("</tr>\n");
    for (name, prefix) in RANKERS {
        let cells: Vec<String> = METRICS
            .iter()
            .map(|metric| {
                job.metrics
                    .get(&format!("{prefix}{metric}"))
                    .map_or("–".to_owned(), |v| format!("{v:.4}"))
            })
            .collect();
        let _ = writeln!(
            page,
            "<tr><td>{name}</td><td>{}</td></tr>",
            cells.join("</td><td>")
        );
    }
    page.push_str("</table>\n<h2>Training</h2>\n");
    let validated: Vec<(usize, f64)> = progress
        .epochs
        .iter()
        .enumerate()
        .filter_map(|(place, epoch)| Some((place + 1, epoch.valid_ndcg_100?)))
        .collect();
    page.push_str(&curve(
        "NDCG@100 on validation, by epoch of the job",
        &validated,
    ));
    for stage in &progress.stages {
        let losses: Vec<(usize, f64)> = progress
            .epochs
            .iter()
            .filter(|epoch| epoch.stage == stage.stage)
            .map(|epoch| (epoch.epoch as usize, epoch.loss))
            .collect();
        page.push_str(&curve(
            &format!("Loss of {}, by epoch", stage.stage),
            &losses,
        ));
    }
    page.push_str("</body></html>\n");
    page
}

/// Size of a chart, and of the margin for its labels.
const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 180.0;
const MARGIN: f64 = 40.0;

/// A line through points; a single one is said in words.
fn curve(title: &str, points: &[(usize, f64)]) -> String {
    let Some(&(first, start)) = points.first() else {
        return String::new();
    };
    if points.len() == 1 {
        return format!(
            "<p>{}: {start:.4} after epoch {first}</p>\n",
            escaped(title)
        );
    }
    let (low, high) = points.iter().fold((start, start), |(low, high), &(_, y)| {
        (low.min(y), high.max(y))
    });
    let last = points.last().map_or(first, |&(x, _)| x);
    let across = |x: usize| {
        MARGIN + (WIDTH - 2.0 * MARGIN) * (x - first) as f64 / (last - first).max(1) as f64
    };
    let up = |y: f64| {
        HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * (y - low) / (high - low).max(f64::MIN_POSITIVE)
    };
    let line: Vec<String> = points
        .iter()
        .map(|&(x, y)| format!("{:.1},{:.1}", across(x), up(y)))
        .collect();
    format!(
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
         <polyline fill=\"none\" stroke=\"#1565c0\" stroke-width=\"2\" points=\"{}\"/>\
         <g font-size=\"12\" fill=\"#555\"><text x=\"0\" y=\"{:.1}\">{high:.4}</text><text x=\"0\" y=\"{:.1}\">{low:.4}</text>\
         <text x=\"{MARGIN}\" y=\"{:.1}\">{first}</text><text x=\"{:.1}\" y=\"{:.1}\">{last}</text></g></svg></figure>\n",
        escaped(title),
        line.join(" "),
        up(high),
        up(low),
        HEIGHT - MARGIN / 2.0,
        WIDTH - MARGIN,
        HEIGHT - MARGIN / 2.0,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
    fn a_model_that_adds_nothing_is_called_that() {
        let job = job(&[
            ("ndcg@100", 0.101),
            ("llm_ndcg@100", 0.09),
            ("ease_ndcg@100", 0.1),
            ("knn_ndcg@100", 0.08),
            ("hybrid_weight", 0.4),
        ]);
        let advice = advice(&job, 10_000);
        assert!(
            advice[0].contains("adds nothing") && advice[0].contains("EASE"),
            "{advice:?}"
        );
        assert!(advice[1].contains("behind EASE"), "{advice:?}");
    }

    #[test]
    fn a_good_model_on_few_users_is_praised_with_a_warning() {
        let advice = advice(&job(&[("ndcg@100", 0.12), ("ease_ndcg@100", 0.1)]), 50);
        assert!(
            advice[0].contains("worth its cost") && advice[0].contains("+20.0 %"),
            "{advice:?}"
        );
        assert!(advice[1].contains("50 users"), "{advice:?}");
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
