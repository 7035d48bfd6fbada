//! What the mutual regularisation's strength λ does in finetuning, as a table
//! and a curve.

use domain::RankedBy;

use crate::grid::{PageTable, Variant};
use crate::report::figures::{COLUMNS, Figures, means, row};
use crate::report::grid_results::GridResults;

/// The data sets that λ is varied on.
const DATA_SETS: [&str; 2] = ["games", "musical_instruments"];

pub(crate) fn section(results: &GridResults<'_>) -> String {
    let mut section =
        "\n## Strength of the mutual regularisation in finetuning\n\n\
         The language model alone, without a teacher, by λ.\n"
            .to_owned();
    for data in DATA_SETS {
        section.push_str(&format!(
            "\n| λ, {data} | {COLUMNS} |\n|---|---|---|---|\n"
        ));
        let points = points(results, data);
        for point in &points {
            section.push_str(&row(&point.lambda.to_string(), &point.means));
        }

        section.push_str(&curve(data, &points));
    }

    section
}

/// A strength, and how good the ranking is with it.
struct MeasuredStrength {
    lambda: f64,
    means: Figures,
}

/// What was measured on a data set, by rising λ.
fn points(results: &GridResults<'_>, data: &str) -> Vec<MeasuredStrength> {
    let mut points = Vec::new();
    for variant in results.variants(PageTable::Lambda) {
        points.extend(point(results, variant, data));
    }
    if let Some(paper) = results.paper() {
        points.extend(point(results, paper, data));
    }
    points.sort_by(|one, other| one.lambda.total_cmp(&other.lambda));
    points
}

fn point(
    results: &GridResults<'_>,
    variant: &Variant,
    data: &str,
) -> Option<MeasuredStrength> {
    let lines = results.lines(variant, data)?;
    let spec = variant.spec(0).ok()?;
    Some(MeasuredStrength {
        lambda: spec.finetuning.lambda,
        means: means(&lines, RankedBy::LanguageModel),
    })
}

/// Recall@20 and NDCG@100 as a chart that the forge draws.
fn curve(data: &str, points: &[MeasuredStrength]) -> String {
    let mut labels = Vec::new();
    let mut recall = Vec::new();
    let mut ndcg = Vec::new();
    for point in points {
        let [recall_20, _, ndcg_100] = point.means;
        labels.push(format!("\"{}\"", point.lambda));
        recall.push(format!("{recall_20:.4}"));
        ndcg.push(format!("{ndcg_100:.4}"));
    }

    format!(
        "\n```mermaid\nxychart-beta\n  title \"{data}: Recall@20 and NDCG@100 by λ\"\n  x-axis \"λ\" [{}]\n  \
         y-axis \"metric\"\n  line [{}]\n  line [{}]\n```\n",
        labels.join(", "),
        recall.join(", "),
        ndcg.join(", ")
    )
}
