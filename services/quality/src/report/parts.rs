//! What each part of the model is worth: the language model alone, with one part left out.

use domain::RankedBy;

use crate::grid::{Table, Variant};
use crate::report::figures::{COLUMNS, Figures, deviations, figure, means, signed};
use crate::report::view::View;

pub(crate) fn section(view: &View<'_>) -> String {
    let data_sets: Vec<&str> = view
        .data_sets()
        .filter(|data| is_measured(view, data))
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
        for mean in reference(view, data).iter().flatten() {
            section.push_str(&format!(" {} |", figure(*mean)));
        }
    }
    section.push('\n');

    for variant in view.variants(Table::Ablation) {
        section.push_str(&format!("| {} |", variant.name));
        for data in &data_sets {
            section.push_str(&differences(view, variant, data));
        }
        section.push('\n');
    }
    section.push_str(&spread(view));
    section
}

/// Whether parts were left out on a data set.
fn is_measured(view: &View<'_>, data: &str) -> bool {
    let mut variants = view.variants(Table::Ablation);
    variants.any(|variant| variant.data.iter().any(|name| name == data))
}

/// What the differences are to: the model with all its parts.
fn reference(view: &View<'_>, data: &str) -> Option<Figures> {
    let lines = view.lines_of_paper(data)?;
    Some(means(&lines, RankedBy::LanguageModel))
}

/// The cells of a variant on one data set.
fn differences(view: &View<'_>, variant: &Variant, data: &str) -> String {
    let lines = view.lines(variant, data);
    let (Some(lines), Some(reference)) = (lines, reference(view, data)) else {
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
fn spread(view: &View<'_>) -> String {
    let mut text = "\nStandard deviation between the seeds, without a teacher:".to_owned();
    for data in view.data_sets() {
        let Some(lines) = view.lines_of_paper(data) else {
            continue;
        };
        let deviations = deviations(&lines, RankedBy::LanguageModel).map(figure);
        text.push_str(&format!(" {data} {};", deviations.join(" / ")));
    }
    text.pop();
    text.push_str(".\n");
    text
}
