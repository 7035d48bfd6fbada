//! What each part of the model is worth: the language model alone, with one
//! part left out.

use domain::RankedBy;

use crate::grid::{PageTable, Variant};
use crate::report::figures::{
    COLUMNS, Figures, deviations, figure, means, signed,
};
use crate::report::grid_results::GridResults;

pub(crate) fn section(results: &GridResults<'_>) -> String {
    let data_sets: Vec<&str> = results
        .data_sets()
        .filter(|data| is_measured(results, data))
        .collect();
    let mut section = "\n## What each part is worth\n\n\
         The language model alone, without a teacher; differences to the first row.\n\n|"
        .to_owned();
    for data in &data_sets {
        section.push_str(&format!(" | {data}: {COLUMNS}"));
    }

    let columns = "---|".repeat(3 * data_sets.len());
    section.push_str(&format!(" |\n|---|{columns}\n"));

    section.push_str("| without a teacher |");
    for data in &data_sets {
        for mean in reference(results, data).iter().flatten() {
            section.push_str(&format!(" {} |", figure(*mean)));
        }
    }

    section.push('\n');

    for variant in results.variants(PageTable::Ablation) {
        section.push_str(&format!("| {} |", variant.name));
        for data in &data_sets {
            section.push_str(&differences(results, variant, data));
        }

        section.push('\n');
    }

    section.push_str(&spread(results));
    section
}

/// Whether parts were left out on a data set.
fn is_measured(results: &GridResults<'_>, data: &str) -> bool {
    let mut variants = results.variants(PageTable::Ablation);
    variants.any(|variant| variant.data.iter().any(|name| name == data))
}

/// What the differences are to: the model with all its parts.
fn reference(results: &GridResults<'_>, data: &str) -> Option<Figures> {
    let lines = results.lines_of_paper(data)?;
    Some(means(&lines, RankedBy::LanguageModel))
}

/// The cells of a variant on one data set.
fn differences(
    results: &GridResults<'_>,
    variant: &Variant,
    data: &str,
) -> String {
    let lines = results.lines(variant, data);
    let (Some(lines), Some(reference)) = (lines, reference(results, data))
    else {
        return " – | – | – |".to_owned();
    };
    let mut cells = String::new();
    let means = means(&lines, RankedBy::LanguageModel);
    for (mean, reference) in means.iter().zip(reference) {
        cells.push_str(&format!(" {} |", signed(mean - reference)));
    }

    cells
}

/// How far apart the seeds are: what a difference has to beat.
fn spread(results: &GridResults<'_>) -> String {
    let mut text =
        "\nStandard deviation between the seeds, without a teacher:".to_owned();
    for data in results.data_sets() {
        let Some(lines) = results.lines_of_paper(data) else {
            continue;
        };
        let deviations =
            deviations(&lines, RankedBy::LanguageModel).map(figure);
        text.push_str(&format!(" {data} {};", deviations.join(" / ")));
    }

    text.pop();
    text.push_str(".\n");
    text
}
