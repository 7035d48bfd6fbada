//! How good a model is, beside simpler methods.

use std::collections::HashMap;

use domain::{Metric, RankedBy, best_simpler_method};
use maud::{Markup, html};
use wording::beside;

use crate::view::written::NONE;

/// A metric of a ranker, with four digits.
pub(crate) fn value(
    metrics: &HashMap<String, f64>,
    ranker: RankedBy,
    metric: Metric,
) -> String {
    let value = metrics.get(&ranker.key(metric));
    value.map_or(NONE.to_owned(), |value| format!("{value:.4}"))
}

/// What a version's list is worth beside the best simpler method's.
pub(crate) fn lift(metrics: &HashMap<String, f64>) -> String {
    let served = metrics.get(&RankedBy::Served.key(Metric::Ndcg100));
    let Some(served) = served else {
        return "not measured".to_owned();
    };
    match best_simpler_method(metrics) {
        Some(best) if best.ndcg > 0.0 => {
            beside(served / best.ndcg, best.ranker.label())
        }
        _ => "no simpler method was measured".to_owned(),
    }
}

/// The name of a simpler method that ranks better than what is served.
pub(crate) fn better_method(
    metrics: &HashMap<String, f64>,
) -> Option<&'static str> {
    let served = metrics.get(&RankedBy::Served.key(Metric::Ndcg100))?;
    let best = best_simpler_method(metrics)?;
    (best.ndcg > *served).then(|| best.ranker.label())
}

/// A row for each ranker, a column for each metric.
pub(crate) fn table(metrics: &HashMap<String, f64>) -> Markup {
    if metrics.is_empty() {
        return html! { p.hint { "Nothing has been measured." } };
    }
    html! {
        div.wide tabindex="0" role="group" aria-label="Metrics" {
            table.numbers {
                thead {
                    tr {
                        th scope="col" { "Ranked by" }
                        @for metric in Metric::ALL {
                            th scope="col" { (metric.name()) }
                        }
                    }
                }
                tbody {
                    @for ranker in RankedBy::COMPARED {
                        tr.served[ranker == RankedBy::Served] {
                            th scope="row" { (ranker.label()) }
                            @for metric in Metric::ALL {
                                td { (value(metrics, ranker, metric)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
