//! Curves of training: losses by stage and the validation, of one job or of
//! several over each other. A script draws them; a table has the same numbers
//! for who runs none.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use proto::pb;
use serde::Serialize;

use crate::view::written::short;

/// The curves of one job.
#[derive(Debug, Serialize)]
pub(crate) struct Curves {
    name: String,
    /// By stage: each epoch's mean loss, in nats.
    losses: BTreeMap<String, Vec<Point>>,
    /// NDCG@100 on validation, by epoch of the whole job.
    validation: Vec<Point>,
}

/// An epoch's number and what was measured after it.
#[derive(Debug, Serialize)]
struct Point(usize, f64);

impl Curves {
    pub(crate) fn of(job: &pb::Job) -> Self {
        let mut losses: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        let mut validation = Vec::new();
        let epochs = job.progress.iter().flat_map(|it| &it.epochs);
        for (place, epoch) in epochs.enumerate() {
            let point = Point(epoch.epoch as usize, epoch.loss);
            losses.entry(epoch.stage.clone()).or_default().push(point);
            if let Some(ndcg) = epoch.valid_ndcg_100 {
                validation.push(Point(place + 1, ndcg));
            }
        }
        Self {
            name: short(&job.name),
            losses,
            validation,
        }
    }

    fn is_empty(&self) -> bool {
        self.losses.is_empty() && self.validation.is_empty()
    }
}

/// The charts of some jobs, and the numbers as a table.
pub(crate) fn charts(jobs: &[Curves]) -> Markup {
    if jobs.iter().all(Curves::is_empty) {
        return html! {
            p.hint id="no-curve" { "There is no curve before the first epoch has ended." }
            (data(jobs))
            label.check { input type="checkbox" id="from-zero" checked; " axes from zero" }
            div.charts id="charts" {}
        };
    }
    html! {
        (data(jobs))
        label.check { input type="checkbox" id="from-zero" checked; " axes from zero" }
        div.charts id="charts" {}
        details {
            summary { "The numbers" }
            @for job in jobs { (numbers(job)) }
        }
    }
}

/// The numbers where the script finds them.
fn data(jobs: &[Curves]) -> Markup {
    html! {
        script type="application/json" id="curves" { (in_script(&jobs)) }
    }
}

/// Data as the inside of a script element, which nothing in it can end: `<` is
/// written as JSON's escape.
pub(crate) fn in_script(data: &impl Serialize) -> Markup {
    let json = serde_json::to_string(data).unwrap_or_else(|_| "[]".to_owned());
    PreEscaped(json.replace('<', "\\u003c"))
}

fn numbers(job: &Curves) -> Markup {
    html! {
        h3 { "Job " (job.name) }
        div.wide tabindex="0" role="group" aria-label="Numbers of the curves" {
            table.numbers {
                thead {
                    tr {
                        th scope="col" { "Curve" }
                        th scope="col" { "Epoch" }
                        th scope="col" { "Value" }
                    }
                }
                tbody {
                    @for (stage, points) in &job.losses {
                        @for Point(epoch, value) in points {
                            tr {
                                td { "loss of " (stage) ", nats" }
                                td { (epoch) }
                                td { (format!("{value:.4}")) }
                            }
                        }
                    }
                    @for Point(epoch, value) in &job.validation {
                        tr {
                            td { "validation, NDCG@100" }
                            td { (epoch) }
                            td { (format!("{value:.4}")) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_name_cannot_end_the_data() {
        let epoch = pb::EpochReport {
            stage: "</script><b>".to_owned(),
            epoch: 1,
            loss: 2.0,
            valid_ndcg_100: Some(0.5),
        };
        let job = pb::Job {
            name: "jobs/j".to_owned(),
            progress: Some(pb::Progress {
                epochs: vec![epoch],
                ..Default::default()
            }),
            ..Default::default()
        };
        let page = charts(&[Curves::of(&job)]).into_string();
        assert!(!page.contains("</script><b>"), "{page}");
        assert!(page.contains(r#""validation":[[1,0.5]]"#), "{page}");
    }
}
