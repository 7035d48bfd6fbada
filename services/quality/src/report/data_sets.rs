//! What a user gets: for each data set the simpler methods, the language model
//! alone and the hybrid.

use domain::RankedBy;

use crate::grid::PageTable;
use crate::report::figures::{COLUMNS, Figures, figure, means, percent, row};
use crate::report::grid_results::GridResults;
use crate::results::Line;

pub(crate) fn section(results: &GridResults<'_>) -> String {
    let mut section = String::new();
    for (data, wanted) in &results.grid.data {
        section.push_str(&format!(
            "\n## {data}\n\n| | {COLUMNS} |\n|---|---|---|---|\n"
        ));
        let Some(lines) = results.lines_of_defaults(data) else {
            continue;
        };
        for ranker in RankedBy::BASELINES {
            section.push_str(&row(ranker.label(), &means(&lines, ranker)));
        }
        section.push_str(&variants(results, data));
        section.push_str(&against_the_bars(&lines, &wanted.bar));
    }

    section
}

/// Two rows for each variant: the language model alone, and what is served.
fn variants(results: &GridResults<'_>, data: &str) -> String {
    let mut rows = String::new();
    for variant in results.variants(PageTable::Main) {
        let Some(lines) = results.lines(variant, data) else {
            continue;
        };
        let name = &variant.name;
        let alone = means(&lines, RankedBy::LanguageModel);
        let hybrid = means(&lines, RankedBy::Served);
        rows.push_str(&row(&format!("language model alone: {name}"), &alone));
        rows.push_str(&row(&format!("**hybrid: {name}**"), &hybrid));
    }

    rows
}

/// Whether EASE's published figures and those of EASE with texts are reached,
/// and whether mixing pays.
fn against_the_bars(lines: &[&Line], published: &Figures) -> String {
    let alone = means(lines, RankedBy::LanguageModel);
    let hybrid = means(lines, RankedBy::Served);
    let reads = means(lines, RankedBy::EaseWithTexts);
    let mut better = alone;
    for (ours, ease) in better.iter_mut().zip(&reads) {
        *ours = ours.max(*ease);
    }

    let [recall_20, recall_40, ndcg_100] = published.map(figure);
    format!(
        "\nWith the defaults, against EASE's published {recall_20} / {recall_40} / {ndcg_100}: the language model alone {}, the hybrid {}.\n\
         Against EASE with texts: the language model alone {}, the hybrid {}.\n\
         The hybrid against the better of the two it mixes, metric by metric: {}.\n",
        lifts(&alone, published),
        lifts(&hybrid, published),
        lifts(&alone, &reads),
        lifts(&hybrid, &reads),
        lifts(&hybrid, &better)
    )
}

/// How much better one ranking is than another, metric by metric.
fn lifts(ours: &Figures, other: &Figures) -> String {
    let mut lifts = Vec::new();
    for (ours, other) in ours.iter().zip(other) {
        lifts.push(percent(ours / other - 1.0));
    }
    lifts.join(" / ")
}
